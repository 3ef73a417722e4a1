//! Tests of the Prometheus text.

use archipelago_pool::{Metric, MetricKind};

use super::render;

fn metric(name: &str, label: Option<&str>, value: f64) -> Metric {
    Metric {
        name: name.to_owned(),
        help: "One\nsentence.".to_owned(),
        kind: MetricKind::Gauge,
        labels: label.map(|label| ("l".to_owned(), label.to_owned())).into_iter().collect(),
        value,
    }
}

#[test]
fn samples_of_one_name_stand_together_under_one_heading() {
    let text = render(vec![
        metric("b", Some("1"), 1.5),
        metric("a", None, 18446744073709551615.0),
        metric("b", Some("2"), 0.0),
    ]);
    assert_eq!(
        text,
        "# HELP a One\\nsentence.\n# TYPE a gauge\na 18446744073709552000\n\
         # HELP b One\\nsentence.\n# TYPE b gauge\nb{l=\"1\"} 1.5\nb{l=\"2\"} 0\n"
    );
}

#[test]
fn label_values_are_escaped() {
    let text = render(vec![metric("a", Some("x\"\\\ny"), 1.0)]);
    assert!(text.ends_with("a{l=\"x\\\"\\\\\\ny\"} 1\n"), "{text}");
}
