//! The OpenAPI document and the routes say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::harness::Harness;
use crate::{openapi_document, routes};

fn document() -> Value {
    serde_json::from_str(openapi_document()).unwrap()
}

/// `GET /v1/volumes` and so on, as the document has them.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut out = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            out.push((format!("{} {path}", method.to_uppercase()), operation));
        }
    }
    out
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let server = Harness::start();
    let mut served = BTreeSet::new();
    for (path, ..) in routes::table() {
        let filled = path.replace("{*object}", "a/b").replace(['{', '}'], "");
        let answer = server.raw("OPTIONS", &filled, "", b"");
        let allow = answer.head.lines().find_map(|line| line.strip_prefix("allow: "));
        let allow = allow.unwrap_or_else(|| panic!("{path}: {}", answer.head)).to_uppercase();
        for method in allow.split(',').filter(|method| *method != "HEAD") {
            served.insert(format!("{method} {}", path.replace('*', "")));
        }
    }
    let document = document();
    let described: BTreeSet<String> =
        operations(&document).into_iter().map(|(key, _)| key).collect();
    assert_eq!(served, described);
}

#[test]
fn every_operation_describes_its_answers_and_its_errors() {
    let document = document();
    for (key, operation) in operations(&document) {
        assert!(operation["summary"].is_string(), "{key} has no summary");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{key}");
        for status in ["400", "401", "403", "404", "405", "409", "413", "500", "503", "507"] {
            let schema = &responses[status]["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Error", "{key} {status}");
        }
        for name in key.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            let parameters = operation["parameters"].as_array().unwrap();
            assert!(parameters.iter().any(|one| one["name"] == name), "{key} lacks {name}");
        }
    }
}

#[test]
fn every_schema_that_is_named_is_there() {
    let text = openapi_document();
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    assert!(schemas.len() > 10);
}
