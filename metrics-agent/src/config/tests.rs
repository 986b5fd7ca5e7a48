//! A good file means what it says; bad files are refused with every mistake.

use super::*;

#[test]
fn smallest_file() {
    let config = parse("a.yaml", "pools: [{name: default}]").unwrap();
    assert_eq!(config.listen.grpc, "127.0.0.1:9002".parse().unwrap());
    assert_eq!(config.scrape, ScrapeSettings::default());
    assert!(config.pools[0].endpoints.is_empty());
}
