//! Whether one set of rules grants everything another does: the heart of the escalation check
//! (k8s.io/component-helpers `auth/rbac/validation/policy_comparator.go`).

use super::rule::{Rule, url_covers};
use std::collections::BTreeMap;

/// The parts of `wanted` that no single rule of `owned` covers, broken down to one verb, resource and name each.
pub fn missing(owned: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    wanted.iter().flat_map(atoms).filter(|atom| !owned.iter().any(|rule| covers(rule, atom))).collect()
}

/// Splits a rule into rules of one group, resource, verb and at most one name, or one URL and verb.
fn atoms(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let mut atoms = Vec::new();
    for group in &rule.api_groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let atom =
                    Rule { api_groups: one(group), resources: one(resource), verbs: one(verb), ..Rule::default() };
                if rule.resource_names.is_empty() {
                    atoms.push(atom);
                } else {
                    atoms.extend(rule.resource_names.iter().map(|n| Rule { resource_names: one(n), ..atom.clone() }));
                }
            }
        }
    }
    for url in &rule.non_resource_urls {
        atoms.extend(rule.verbs.iter().map(|verb| Rule {
            non_resource_urls: one(url),
            verbs: one(verb),
            ..Rule::default()
        }));
    }
    atoms
}

fn covers(owner: &Rule, atom: &Rule) -> bool {
    let has_all = |owned: &[String], wanted: &[String]| {
        owned.iter().any(|o| o == "*") || wanted.iter().all(|w| owned.contains(w))
    };
    let resource = |wanted: &String| {
        owner.resources.iter().any(|o| o == "*" || o == wanted)
            || wanted.split_once('/').is_some_and(|(_, sub)| owner.resources.contains(&format!("*/{sub}")))
    };
    let names = match atom.resource_names.as_slice() {
        [] => owner.resource_names.is_empty(),
        wanted => owner.resource_names.is_empty() || wanted.iter().all(|n| owner.resource_names.contains(n)),
    };
    let url = |wanted: &String| owner.non_resource_urls.iter().any(|o| url_covers(o, wanted));
    has_all(&owner.verbs, &atom.verbs)
        && has_all(&owner.api_groups, &atom.api_groups)
        && atom.resources.iter().all(resource)
        && names
        && atom.non_resource_urls.iter().all(url)
}

/// Joins atoms that differ in their verb only, for the error text.
pub fn compacted(atoms: Vec<Rule>) -> Vec<Rule> {
    let mut joined: BTreeMap<[Vec<String>; 3], Rule> = BTreeMap::new();
    let mut rest = Vec::new();
    for atom in atoms {
        if !atom.non_resource_urls.is_empty() {
            rest.push(atom);
            continue;
        }
        let key = [atom.api_groups.clone(), atom.resources.clone(), atom.resource_names.clone()];
        match joined.get_mut(&key) {
            Some(rule) => rule.verbs.extend(atom.verbs),
            None => {
                joined.insert(key, atom);
            }
        }
    }
    rest.extend(joined.into_values());
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `verbs groups resources names`, comma-separated; `-` is the empty list, `core` the core group, `url` a URL rule.
    fn rule(text: &str) -> Rule {
        let parts: Vec<Vec<String>> = text
            .split(' ')
            .map(|p| if p == "-" { vec![] } else { p.split(',').map(|s| s.replace("core", "")).collect() })
            .collect();
        if parts[1] == ["url"] {
            return Rule { verbs: parts[0].clone(), non_resource_urls: parts[2].clone(), ..Rule::default() };
        }
        Rule {
            verbs: parts[0].clone(),
            api_groups: parts[1].clone(),
            resources: parts[2].clone(),
            resource_names: parts[3].clone(),
            ..Rule::default()
        }
    }

    #[test]
    fn coverage_is_upstreams() {
        let cases: [(&[&str], &str, usize); 14] = [
            (&["* * * -"], "get,list core pods -", 0),
            (&["get core pods -"], "get,list core pods -", 1),
            (&["get core pods -", "list core pods -"], "get,list core pods -", 0),
            (&["get core pods a"], "get core pods -", 1),
            (&["get core pods a"], "get core pods a", 0),
            (&["get core pods -"], "get core pods a,b", 0),
            (&["get core */scale -"], "get core pods/scale -", 0),
            (&["get core pods -"], "get core pods/scale -", 1),
            (&["get core pods -"], "get core * -", 1),
            (&["get core pods -"], "get apps pods -", 1),
            (&["get url /api/*"], "get url /api/v1", 0),
            (&["get url /api"], "get url /api/v1", 1),
            (&["get url /api/*"], "get url *", 1),
            (&["* * * -"], "get url /api", 1),
        ];
        for (owned, wanted, count) in cases {
            let owned: Vec<Rule> = owned.iter().map(|r| rule(r)).collect();
            assert_eq!(missing(&owned, &[rule(wanted)]).len(), count, "{owned:?} {wanted}");
        }
    }

    #[test]
    fn missing_verbs_of_one_resource_are_joined() {
        let joined = compacted(missing(&[], &[rule("get,list core pods -")]));
        assert_eq!(joined, [rule("get,list core pods -")]);
    }
}
