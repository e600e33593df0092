//! Upstream's cases for label selectors (k8s.io/apimachinery `pkg/labels/selector_test.go`,
//! `pkg/apis/meta/v1/helpers_test.go`).

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn parse(text: &str) -> Result<LabelSelector, String> {
    LabelSelector::parse(text).map_err(|e| e.to_string())
}

#[test]
fn good_selectors_print_themselves() {
    let cases = ["x=a,y=b,z=c", "", "x!=a,y=b", "x=", "x= ", "x=,z= ", "x= ,z= ", "!x", "x>1", "x>1,z<5", "x==a"];
    for text in cases {
        assert_eq!(parse(text).map(|s| s.to_string()), Ok(text.replace(' ', "")), "{text}");
    }
    let sets = [
        ("x in (foo,,baz),y,z notin ()", "x in (,baz,foo),y,z notin ()"),
        ("x in (b,a,a)", "x in (a,b)"),
        (" x in ( a , b ) ", "x in (a,b)"),
        ("x notin (in,notin)", "x notin (in,notin)"),
        ("x,!y\n", "x,!y"),
        ("b=1,a=2", "a=2,b=1"),
        ("x in (,)", "x in ()"),
    ];
    for (text, printed) in sets {
        assert_eq!(parse(text).map(|s| s.to_string()).as_deref(), Ok(printed), "{text}");
    }
}

#[test]
fn bad_selectors_are_refused_with_upstreams_texts() {
    let cases = [
        (
            "x=a||y=b",
            "unable to parse requirement: values[0][x]: Invalid value: \"a||y\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
        ("x==a==b", "found '==', expected: ',' or 'end of string'"),
        ("!x=a", "found '=', expected: ',' or 'end of string'"),
        (
            "x<a",
            "unable to parse requirement: values[0]: Invalid value: \"a\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (",", "found ',', expected: !, identifier, or 'end of string'"),
        ("x,", "found '', expected: identifier after ','"),
        ("x in", "unable to parse requirement: found '' expected: '('"),
        ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("x y", "unable to parse requirement: found 'y', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
    ];
    for (text, error) in cases {
        assert_eq!(parse(text).map(|s| s.to_string()), Err(error.to_owned()), "{text}");
    }
    assert!(
        parse("a/b/c=d")
            .unwrap_err()
            .starts_with("unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a valid label key")
    );
}

type Case = (&'static str, &'static [(&'static str, &'static str)], bool);

#[test]
fn matching() {
    let cases: &[Case] = &[
        ("", &[("x", "y")], true),
        ("x=y", &[("x", "y")], true),
        ("x=y,z=w", &[("x", "y"), ("z", "w")], true),
        ("x!=y,z!=w", &[("x", "z"), ("z", "a")], true),
        ("notin=in", &[("notin", "in")], true),
        ("x", &[("x", "z")], true),
        ("!x", &[("y", "z")], true),
        ("x>1", &[("x", "2")], true),
        ("x<1", &[("x", "0")], true),
        ("x=z", &[], false),
        ("x=y", &[("x", "z")], false),
        ("x=y,z=w", &[("x", "w"), ("z", "w")], false),
        ("x!=y,z!=w", &[("x", "z"), ("z", "w")], false),
        ("x", &[("y", "z")], false),
        ("!x", &[("x", "z")], false),
        ("x>1", &[("x", "0")], false),
        ("x<1", &[("x", "2")], false),
        ("x>1", &[("x", "many")], false),
        ("x in (a,b)", &[("x", "b")], true),
        ("x notin (a,b)", &[], true),
        ("x notin (a,b)", &[("x", "a")], false),
    ];
    for (text, labels, expected) in cases {
        let selector = parse(text).unwrap();
        let matched = selector.matches(|key| labels.iter().find(|(k, _)| *k == key).map(|(_, v)| *v));
        assert_eq!(matched, *expected, "{text} on {labels:?}");
    }
}

#[test]
fn selector_objects() {
    let cases = [
        (json!(null), Ok(None)),
        (json!({}), Ok(Some(""))),
        (json!({"matchLabels": {"foo": "bar"}}), Ok(Some("foo=bar"))),
        (
            json!({"matchLabels": {"foo": "bar"},
                   "matchExpressions": [{"key": "baz", "operator": "In", "values": ["qux", "norf"]}]}),
            Ok(Some("baz in (norf,qux),foo=bar")),
        ),
        (json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]}), Ok(Some("a"))),
        (json!({"matchExpressions": [{"key": "a", "operator": "DoesNotExist", "values": null}]}), Ok(Some("!a"))),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]}),
            Err("\"Gt\" is not a valid label selector operator"),
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": []}]}),
            Err("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"),
        ),
        (
            json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]}),
            Err("values: Invalid value: [\"x\"]: values set must be empty for exists and does not exist"),
        ),
    ];
    for (object, expected) in cases {
        let got = LabelSelector::from_object(Some(&object)).map_err(|e| e.to_string());
        let got = got.map(|s| (!s.matches_nothing()).then(|| s.to_string()));
        assert_eq!(got, expected.map(|o: Option<&str>| o.map(str::to_owned)).map_err(str::to_owned), "{object}");
    }
    assert!(!LabelSelector::from_object(None).unwrap().matches_labels(Some(&json!({"a": "b"}))));
    assert!(LabelSelector::from_object(Some(&json!({"matchLabels": 3}))).is_err());
}

#[test]
fn exact_matches_are_found() {
    let cases = [("a=b", Some("b")), ("a in (b)", Some("b")), ("a in (b,c)", None), ("a!=b", None), ("c=d", None)];
    for (text, expected) in cases {
        assert_eq!(parse(text).unwrap().requires_exact_match("a"), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".*") {
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        }
    }

    #[test]
    fn texts_of_selector_words_are_read_or_refused(words in prop::collection::vec(
        prop::sample::select(vec!["a", "b", " ", "in", "notin", "(", ")", ",", "=", "==", "!=", "!", ">", "<", "1"]), 0..12,
    )) {
        let text = words.concat();
        if let Ok(selector) = LabelSelector::parse(&text) {
            prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
        }
    }
}
