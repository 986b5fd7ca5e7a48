//! The forms of single values: durations, sizes, names, hosts with ports.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use inference_api::printable;

use super::checked::Host;

/// `200ms`, `1s`, `1.5s`, `2m`; `None` for anything else. A bare number has no unit and is refused.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| c != '.' && !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let millis_per_unit = match unit {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" => 60_000.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * millis_per_unit / 1_000.0).ok()
}

/// The shortest exact form that [`duration`] reads.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis > 0 && millis.is_multiple_of(1_000) {
        format!("{}s", millis / 1_000)
    } else {
        format!("{millis}ms")
    }
}

/// Whether `text` is 1..=`max` visible ASCII characters (no spaces).
pub(super) fn visible(text: &str, max: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > max || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!(
            "expected 1..={max} visible ASCII characters, got `{}`",
            printable(text)
        ));
    }
    Ok(())
}

/// `10.0.0.1:8000`, `[fd00::1]:8000` or `name.example:8000`.
pub(super) fn host_and_port(text: &str) -> Result<(Host, u16), String> {
    const FORMS: &str = "expected `10.0.0.1:8000`, `[fd00::1]:8000` or `name:8000`";
    let refuse = |why: &str| Err(format!("{why}, {FORMS}, got `{}`", printable(text)));
    if text.contains('@') {
        // What stands before it may be a password, which no log should repeat.
        return Err(format!("an address holds no user, {FORMS}"));
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return refuse("an IPv6 address stands in brackets");
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return refuse("the port is missing");
    };
    let port = match port.parse::<u16>() {
        Ok(port) if port > 0 && port_is_plain(text) => port,
        _ => return refuse("the port is not a number in 1..=65535"),
    };
    if let Some(inner) = host.strip_prefix('[') {
        return match inner.strip_suffix(']').map(str::parse::<Ipv6Addr>) {
            Some(Ok(ip)) => endpoint_ip(IpAddr::V6(ip), text).map(|ip| (Host::Ip(ip), port)),
            _ => refuse("the brackets hold no IPv6 address"),
        };
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return endpoint_ip(ip, text).map(|ip| (Host::Ip(ip), port));
    }
    if looks_like_ipv4(host) {
        return refuse("that is no IPv4 address");
    }
    if !is_dns_name(host) {
        return refuse("that is neither an address nor a DNS name");
    }
    Ok((Host::Name(host.to_ascii_lowercase()), port))
}

fn port_is_plain(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An address that traffic can be sent to. IPv4-mapped IPv6 becomes IPv4, so that one pod has one
/// identity.
fn endpoint_ip(ip: IpAddr, text: &str) -> Result<IpAddr, String> {
    let ip = ip.to_canonical();
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(format!(
            "unspecified and multicast addresses cannot be scraped, got `{}`",
            printable(text)
        ));
    }
    Ok(ip)
}

fn looks_like_ipv4(host: &str) -> bool {
    host.bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// RFC 1123 host name, underscores tolerated because Kubernetes headless services with odd names
/// exist; a final dot is allowed.
fn is_dns_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

/// `ip:port` to listen on; port 0 asks the system for a free one.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "expected an address to listen on such as 127.0.0.1:9002 or [::1]:9002, got `{}`",
            printable(text)
        )
    })
}

/// An HTTP path: begins with `/`, visible ASCII, no fragment.
pub(super) fn http_path(text: &str) -> Result<(), String> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.starts_with('/') && text.len() <= 256 && plain && !text.contains('#') {
        return Ok(());
    }
    Err(format!(
        "expected a path such as /metrics (at most 256 visible characters), got `{}`",
        printable(text)
    ))
}

/// Bytes: a whole number, or with `KiB` or `MiB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, factor) = if let Some(number) = text.strip_suffix("KiB") {
        (number, 1 << 10)
    } else {
        (text.strip_suffix("MiB")?, 1 << 20)
    };
    number.trim().parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1_500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for bad in ["", "200", "ms", "1h", "-1s", "1..2s", "1s ", "NaNs", "1e3s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        let ok = |text: &str| host_and_port(text).unwrap();
        assert_eq!(
            ok("10.0.0.1:80"),
            (Host::Ip("10.0.0.1".parse().unwrap()), 80)
        );
        assert_eq!(
            ok("[fd00::1]:80"),
            (Host::Ip("fd00::1".parse().unwrap()), 80)
        );
        assert_eq!(
            ok("[::ffff:10.0.0.1]:80"),
            (Host::Ip("10.0.0.1".parse().unwrap()), 80)
        );
        assert_eq!(
            ok("vLLM-0.vllm.default.svc:8000"),
            (Host::Name("vllm-0.vllm.default.svc".to_owned()), 8000)
        );
        for bad in [
            "",
            ":80",
            "10.0.0.1",
            "10.0.0.1:0",
            "10.0.0.1:65536",
            "10.0.0.1:+80",
            "10.0.0:80",
            "fd00::1",
            "[fd00::1]",
            "[10.0.0.1]:80",
            "a b:80",
            "-a:80",
            "http://a:80",
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "a:80:90",
            "256.0.0.1:80",
            "a..b:80",
        ] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(bytes("64KiB"), Some(65_536));
        assert_eq!(bytes("4MiB"), Some(4 << 20));
        assert_eq!(bytes("4MB"), None);
        assert_eq!(bytes("99999999999999999999MiB"), None);
    }
}
