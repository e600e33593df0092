//! The chart's custom resource definition is the one that the types make.
//!
//! `UPDATE_GOLDEN=1 cargo test -p operator` writes it anew.

use std::path::Path;

#[test]
fn the_chart_carries_the_current_definition() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/coracle/crds/tenantclusters.yaml");
    let current = serde_json::to_value(operator::api::definition()).expect("a definition is JSON");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let text = serde_saphyr::to_string(&current).expect("JSON is YAML");
        std::fs::write(&path, text).expect("the chart can be written");
    }
    let text = std::fs::read_to_string(&path).expect("the chart has a definition");
    let charted: serde_json::Value = serde_saphyr::from_str(&text).expect("the definition is YAML");
    assert_eq!(charted, current, "run UPDATE_GOLDEN=1 cargo test -p operator");
}
