//! Parts of a page that are generated: whatever stands between two markers is replaced.
//!
//! ```text
//!   <!-- begin verdict -->
//!   ... generated, edits are lost ...
//!   <!-- end verdict -->
//! ```

/// `page` with `content` between the markers of `name`; `None` when it does not have each of them
/// exactly once, in order.
pub fn replace(page: &str, name: &str, content: &str) -> Option<String> {
    let (begin, end) = (
        format!("<!-- begin {name} -->"),
        format!("<!-- end {name} -->"),
    );
    let (before, rest) = page.split_once(&begin)?;
    let (old, after) = rest.split_once(&end)?;
    let again = [before, old, after]
        .iter()
        .any(|part| part.contains(&begin) || part.contains(&end));
    let content = content.trim_end();
    (!again).then(|| format!("{before}{begin}\n{content}\n{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::replace;

    const PAGE: &str = "# Page\n<!-- begin a -->\nold\n<!-- end a -->\ntail\n";

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let once = replace(PAGE, "a", "| new |\n").unwrap();
        assert_eq!(
            once,
            "# Page\n<!-- begin a -->\n| new |\n<!-- end a -->\ntail\n"
        );
        assert_eq!(replace(&once, "a", "| new |\n").unwrap(), once);
    }

    #[test]
    fn missing_or_doubled_markers_are_noticed() {
        assert_eq!(replace(PAGE, "b", "x"), None);
        assert_eq!(replace(&PAGE.repeat(2), "a", "x"), None);
        assert_eq!(replace("<!-- end a --><!-- begin a -->", "a", "x"), None);
    }
}
