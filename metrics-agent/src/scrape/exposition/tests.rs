//! The corners of lines, labels and values.

use super::*;

fn parse(line: &str) -> Result<Option<Sample<'_>>, BadLine> {
    SampleLine::split(line.as_bytes())?
        .map(|line| line.parse(4))
        .transpose()
}

fn value(line: &str) -> f64 {
    parse(line).unwrap().unwrap().value
}

/// The lines of a page that is pushed in pieces of `piece` bytes.
fn lines(page: &str, limits: PageLimits, piece: usize, complete: bool) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    let mut splitter = LineSplitter::new(limits);
    let mut take = |line: PageLine<'_>| {
        lines.push(match line {
            PageLine::Whole(line) => String::from_utf8_lossy(line).into_owned(),
            PageLine::TooLong(line) => format!("{}...", String::from_utf8_lossy(line)),
        });
    };
    for chunk in page.as_bytes().chunks(piece) {
        splitter.push(chunk, &mut take);
    }
    splitter.finish(complete, &mut take);
    (lines, splitter.stopped())
}

#[test]
fn lines_are_the_same_for_every_way_to_cut_the_page() {
    let limits = PageLimits {
        line_bytes: 4,
        lines: 5,
        ..PageLimits::default()
    };
    for piece in 1..=20 {
        let cut = |page, complete| lines(page, limits, piece, complete);
        assert_eq!(
            cut("abcd\nabcde\n\nx", true).0,
            ["abcd", "abcd...", "", "x"],
            "{piece}"
        );
        assert_eq!(cut("abcd\nx", false).0, ["abcd"], "an open end is dropped");
        assert_eq!(
            cut("1\n2\n3\n4\n5\n", true),
            (
                vec!["1", "2", "3", "4", "5"]
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
                false
            )
        );
        let (read, stopped) = cut("1\n2\n3\n4\n5\n6\n7", true);
        assert_eq!((read.len(), stopped), (5, true), "{piece}");
        assert_eq!(cut("", true).0.len(), 0);
    }
}

#[test]
fn comments_and_empty_lines_are_nothing() {
    for line in [
        "",
        " ",
        "\t",
        "\r",
        "# HELP x y",
        "  # comment",
        "#",
        "# EOF",
    ] {
        assert_eq!(parse(line), Ok(None), "{line:?}");
    }
}

#[test]
fn values_of_every_shape_are_read() {
    assert_eq!(value("x 1"), 1.0);
    assert_eq!(value("x\t-1.5e3 "), -1500.0);
    assert_eq!(value("x{}5"), 5.0);
    assert_eq!(value("x 1\r"), 1.0);
    assert!(value("x NaN").is_nan());
    assert_eq!(value("x +Inf"), f64::INFINITY);
    assert_eq!(value("x 1e400"), f64::INFINITY);
}

#[test]
fn timestamps_and_exemplars_may_follow() {
    let stamp = |line: &str| parse(line).map(|sample| sample.unwrap().timestamp);
    assert_eq!(stamp("x 1 1395066363000"), Ok(Some(1_395_066_363_000.0)));
    assert_eq!(stamp("x 1 1.7e9 # {trace=\"a\"} 1 1"), Ok(Some(1.7e9)));
    assert_eq!(stamp("x 1 # {trace=\"a\"} 1"), Ok(None));
    assert_eq!(stamp("x 1 soon"), Err(BadLine::Timestamp));
    assert_eq!(stamp("x 1 NaN"), Err(BadLine::Timestamp));
    assert_eq!(stamp("x 1 2 3"), Err(BadLine::Timestamp));
}

#[test]
fn labels_keep_commas_braces_quotes_and_backslashes() {
    let sample = parse(r#"x{a="1,2}",b="say \"hi\"",c="C:\\\n" , d="\q" ,} 1"#)
        .unwrap()
        .unwrap();
    let labels: Vec<_> = sample
        .labels
        .iter()
        .map(|l| (l.name, l.value().into_owned()))
        .collect();
    let expected = [
        ("a", "1,2}"),
        ("b", "say \"hi\""),
        ("c", "C:\\\n"),
        ("d", "\\q"),
    ];
    assert_eq!(
        labels,
        expected.map(|(name, value)| (name, value.to_owned()))
    );
    assert_eq!(sample.labels.get("b").as_deref(), Some("say \"hi\""));
    assert_eq!(sample.labels.get("e"), None);
}

#[test]
fn each_mistake_has_its_name() {
    for (line, error) in [
        ("1x 1", BadLine::Name),
        ("{a=\"b\"} 1", BadLine::Name),
        ("é 1", BadLine::Name),
        ("x-y 1", BadLine::Name),
        ("x", BadLine::Value),
        ("x ", BadLine::Value),
        ("x one", BadLine::Value),
        ("x 0x1p3", BadLine::Value),
        ("x{a=\"b\" 1", BadLine::Labels),
        ("x{a=\"b} 1", BadLine::Labels),
        ("x{a=\"b\\", BadLine::Labels),
        ("x{a=\"b\"c=\"d\"} 1", BadLine::Labels),
        ("x{a=b} 1", BadLine::Labels),
        ("x{=\"b\"} 1", BadLine::Labels),
        ("x{,} 1", BadLine::Labels),
        ("x{a", BadLine::Labels),
        ("x{\"quoted name\",a=\"b\"} 1", BadLine::Labels),
        (
            "x{a=\"\",b=\"\",c=\"\",d=\"\",e=\"\"} 1",
            BadLine::TooManyLabels,
        ),
    ] {
        assert_eq!(parse(line), Err(error), "{line:?}");
    }
    let not_utf8 = SampleLine::split(b"x{a=\"\xff\"} 1").unwrap().unwrap();
    assert_eq!(not_utf8.parse(4), Err(BadLine::NotUtf8));
}
