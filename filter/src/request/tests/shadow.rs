//! Shadow mode, and what a trusted caller is told.

use super::models::{parts, rule};
use super::*;

fn compared(rig: &Rig, result: &str) -> u64 {
    let labels = [("pool", "p"), ("result", result)];
    rig.metric(&crate::metrics::series("zerohop_shadow_total", &labels))
}

#[test]
fn in_shadow_mode_nothing_is_set_removed_rewritten_or_refused() {
    let rig = Rig::new(r#", "shadow": true"#);
    rig.policy(parts("p", vec![rule(Some("llama"), &[("llama-a", 1)])]));
    let client = [
        (headers::DESTINATION, &b"10.9.9.9:1"[..]),
        ("x-zerohop-explain", b"1"),
        ("x-gateway-inference-objective", b"o"),
    ];
    for model in ["llama", "unknown"] {
        let body = format!(r#"{{"model":"{model}","prompt":"hello"}}"#);
        let before = rig.post(body.as_bytes(), &client);
        let (context, mut request, flow) = before;
        assert_eq!(flow, Flow::Continue);
        assert_eq!(rig.host.body_of(context), body.as_bytes());
        for (name, value) in client {
            let kept = rig.host.header_of(context, name);
            assert_eq!(kept.as_deref().map(str::as_bytes), Some(value), "{name}");
        }
        assert_eq!(rig.in_flight(), 0, "not counted where it may not go");
        rig.host.respond_with(context, b"200", Some(b"10.0.0.2:80"));
        request.on_response_headers(&rig.host);
        assert_eq!(
            rig.host.response_header_of(context, "x-zerohop-decision"),
            None
        );
        request.on_log(&rig.host);
        assert_eq!(rig.in_flight(), 0);
    }
}

#[test]
fn shadow_mode_counts_who_served_and_where_the_load_is() {
    let rig = Rig::new(r#", "shadow": true"#);
    for (upstream, is_member) in [
        (Some(&b"10.9.9.9:80"[..]), false),
        (None, false),
        (Some(b"10.0.0.1:80"), true),
        (Some(b"10.0.0.2:80"), true),
        (Some(b"[fd00::1]:80"), true),
    ] {
        let (context, mut request, _) = rig.post(BODY, &[]);
        rig.host.respond_with(context, b"200", upstream);
        let all = || ["agree", "differ", "unknown"].map(|result| compared(&rig, result));
        let before: u64 = all().iter().sum();
        request.on_response_headers(&rig.host);
        assert_eq!(all().iter().sum::<u64>(), before + 1);
        assert_eq!(rig.in_flight(), u32::from(is_member));
        request.on_log(&rig.host);
        assert_eq!(rig.in_flight(), 0);
    }
    assert_eq!(compared(&rig, "unknown"), 1);
    assert_eq!(compared(&rig, "agree") + compared(&rig, "differ"), 4);
    let moved = crate::metrics::series("zerohop_attempts_total", &[("event", "moved")]);
    assert_eq!(rig.metric(&moved), 0, "another choice is no failure");
}

#[test]
fn only_a_trusted_caller_that_asks_is_told_of_the_decision() {
    for (config, asks, told) in [
        ("", true, false),
        (r#", "trust_explain_header": true"#, false, false),
        (r#", "trust_explain_header": true"#, true, true),
    ] {
        let rig = Rig::new(config);
        let ask = [("x-zerohop-explain", &b"1"[..])];
        let (context, mut request, _) = rig.post(BODY, if asks { &ask } else { &[] });
        assert_eq!(rig.host.header_of(context, "x-zerohop-explain"), None);
        rig.host.respond_with(context, b"200", Some(b"10.0.0.1:80"));
        request.on_response_headers(&rig.host);
        let decision = rig.host.response_header_of(context, "x-zerohop-decision");
        assert_eq!(decision.is_some(), told, "{decision:?}");
        if let Some(decision) = decision {
            let destination = rig.destination(context).unwrap();
            let mut list = destination.split(',');
            let (first, second) = (list.next().unwrap(), list.next().unwrap());
            let begin = format!("chosen=\"{first}\", runner_up=\"{second}\", reason=");
            assert!(decision.starts_with(&begin), "{decision}");
        }
        request.on_log(&rig.host);
    }
}
