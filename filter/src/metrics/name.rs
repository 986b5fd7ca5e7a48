//! The names of series within Envoy.

use crate::host::{Host, MetricId, MetricKind};

/// The name of a series in Envoy: each label as `label=.=value;.;`, then the family. Istio cuts labels
/// out of names of this form, other Envoys do by their `stats_tags`, and values may hold dots and
/// slashes, as models do.
#[must_use]
pub fn series(family: &str, labels: &[(&str, &str)]) -> String {
    let mut name = labels_of(labels);
    name.push_str(family);
    name
}

/// The labels of a series as they stand in its name.
pub(super) fn labels_of(labels: &[(&str, &str)]) -> String {
    let mut name = String::new();
    for (label, value) in labels {
        name.push_str(label);
        name.push_str("=.=");
        // What is no visible ASCII has no place in a stat, and semicolons end the value.
        let visible = |c: char| c.is_ascii_graphic() && c != ';';
        name.extend(value.chars().map(|c| if visible(c) { c } else { '_' }));
        name.push_str(";.;");
    }
    name
}

/// Defines a series. An error costs the series, never a request.
pub(super) fn define(host: &dyn Host, kind: MetricKind, name: &str) -> Option<MetricId> {
    match host.define_metric(kind, name) {
        Ok(id) => Some(id),
        Err(error) => {
            log::warn!("metric {name} was not defined: {error}");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stand_before_the_family_and_cannot_run_into_each_other() {
        assert_eq!(series("up", &[]), "up");
        let labels = [
            ("model_name", "meta-llama/Llama-3.1"),
            ("pool", "a;.;b\u{e9} c"),
        ];
        assert_eq!(
            series("x_total", &labels),
            "model_name=.=meta-llama/Llama-3.1;.;pool=.=a_._b__c;.;x_total"
        );
    }
}
