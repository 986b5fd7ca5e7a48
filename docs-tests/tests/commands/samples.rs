//! The samples of the README are what they say.

use std::path::Path;

use filter::config::Config;
use metrics_agent::config;

use crate::blocks::of_page;

#[test]
fn the_readme_s_agent_file_and_filter_configuration_are_taken() {
    let blocks = of_page(Path::new("README.md"));
    let yaml: Vec<&str> = blocks
        .iter()
        .filter(|block| block.language == "yaml")
        .map(|block| block.text.as_str())
        .collect();
    config::parse("README.md", yaml[0]).unwrap();
    let json = yaml[1]
        .lines()
        .map(str::trim)
        .find(|line| line.starts_with("{\"agent\""));
    Config::parse(json.unwrap().as_bytes()).unwrap();
}

#[test]
fn the_whole_configuration_on_the_filter_s_page_is_taken() {
    let blocks = of_page(Path::new("docs/filter.md"));
    let json = blocks
        .iter()
        .find(|block| block.language == "json")
        .unwrap();
    Config::parse(json.text.as_bytes()).unwrap();
}
