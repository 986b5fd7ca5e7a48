//! The built-in dialects by name, and `auto`, the union of them all.

use super::{
    Dialect, presets, sglang,
    table::{Preset, RuleTable},
    triton, trtllm, vllm,
};

pub(super) const NAME: &str = "auto";

/// In the order in which `auto` prefers them when a page fits several equally well.
const PRESETS: [&Preset; 7] = [
    &vllm::PRESET,
    &sglang::PRESET,
    &trtllm::PRESET,
    &triton::PRESET,
    &presets::TGI,
    &presets::LMDEPLOY,
    &presets::LLAMA_CPP,
];

pub(super) fn dialect(name: &str) -> Option<Dialect> {
    let mut table = RuleTable::default();
    if name == NAME {
        PRESETS.iter().for_each(|preset| table.add_preset(preset));
        return Some(Dialect::new(NAME, "/metrics", table));
    }
    let preset = PRESETS.iter().find(|preset| preset.name == name)?;
    table.add_preset(preset);
    Some(Dialect::new(preset.name, preset.metrics_path, table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_every_preset_compiles() {
        for preset in PRESETS {
            for rule in preset.rules {
                assert!(
                    rule.compile().is_some(),
                    "{}: {}",
                    preset.name,
                    rule.selector
                );
            }
        }
    }

    #[test]
    fn every_listed_name_is_known_and_no_other() {
        for name in Dialect::BUILTIN {
            assert_eq!(
                dialect(name)
                    .map(|dialect| dialect.name().to_owned())
                    .as_deref(),
                Some(name)
            );
        }
        assert_eq!(Dialect::BUILTIN.len(), PRESETS.len() + 1);
        assert!(dialect("VLLM").is_none());
    }
}
