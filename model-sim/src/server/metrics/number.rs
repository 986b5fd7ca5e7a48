//! Numbers as Python's prometheus_client writes them.

use std::io::Write;

/// Appends a number: Python's `repr`, with Go's exponents from a million on.
pub(crate) fn push_number(page: &mut Vec<u8>, value: f64) {
    // Whole numbers below the exponent's reach are nearly all of a page.
    if value.fract() == 0.0 && (0.0..1e6).contains(&value) && !value.is_sign_negative() {
        write!(page, "{}.0", value as u32).ok();
        return;
    }
    page.extend_from_slice(number(value).as_bytes());
}

fn number(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let text = python_repr(value);
    let whole_digits = text.find('.').unwrap_or(0);
    if value > 0.0 && whole_digits > 6 {
        let digits: String = text.chars().filter(|c| *c != '.').collect();
        let (first, rest) = digits.split_at_checked(1).unwrap_or((&digits, ""));
        let mantissa = format!("{first}.{rest}");
        let mantissa = mantissa.trim_end_matches(['0', '.']);
        return format!("{mantissa}e+0{}", whole_digits - 1);
    }
    text
}

/// The shortest digits that read back the same, with an exponent outside 1e-4 to 1e16.
fn python_repr(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e16).contains(&size) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        return format!("{mantissa}e{sign}{digits:0>2}");
    }
    let text = format!("{value}");
    if text.contains('.') {
        text
    } else {
        text + ".0"
    }
}

#[cfg(test)]
mod tests {
    use super::push_number;

    #[test]
    fn numbers_look_as_in_captures() {
        let expected = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (29753.0, "29753.0"),
            (999_999.0, "999999.0"),
            (4.45546496e9, "4.45546496e+09"),
            (1_000_000.0, "1e+06"),
            (1.795_349_922_325_312_9e9, "1.7953499223253129e+09"),
            (1.79534985252e9, "1.79534985252e+09"),
            (0.25396825396825395, "0.25396825396825395"),
            (0.001361906000511226, "0.001361906000511226"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e20, "1e+20"),
            (-12_345_678.5, "-12345678.5"),
            (76.00879144668579, "76.00879144668579"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for (value, text) in expected {
            let mut page = Vec::new();
            push_number(&mut page, value);
            assert_eq!(String::from_utf8(page).unwrap(), text, "{value:?}");
        }
    }
}
