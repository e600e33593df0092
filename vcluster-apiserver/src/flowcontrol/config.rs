//! From the objects in the store to levels at work and schemas in order, and the limits while levels lend to each other
//! (k8s.io/apiserver `pkg/util/flowcontrol/apf_controller.go`).

use super::allocation::{self, Want};
use super::bootstrap;
use super::level::{Level, Limits, Standing};
use super::queue_set::Discipline;
use super::spec::{LevelSpec, Schema};
use super::{LEVELS, SCHEMAS};
use apimachinery::Object;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything a request is judged by. Replaced as a whole.
#[derive(Default)]
pub struct Config {
    /// In the order in which they are tried.
    pub schemas: Vec<(Schema, Arc<Level>)>,
    pub levels: BTreeMap<String, Arc<Level>>,
    nominal: usize,
}

impl Config {
    /// `total`: the seats of the whole server. Levels of `before` that stay keep their queues.
    pub fn digest(levels: &[Object], schemas: &[Object], total: usize, before: &Self) -> Self {
        let mut specs: BTreeMap<String, LevelSpec> =
            levels.iter().filter_map(|object| Some((object.name().to_owned(), LevelSpec::read(object)?))).collect();
        for (_, object) in bootstrap::mandatory().filter(|(resource, _)| *resource == LEVELS) {
            if let (false, Some(spec)) = (specs.contains_key(object.name()), LevelSpec::read(&object)) {
                specs.insert(object.name().to_owned(), spec);
            }
        }
        let sum: u32 = specs.values().map(|spec| spec.shares).sum();
        let mut config = Self::default();
        for (name, spec) in specs {
            let limits = limits(&spec, total, sum);
            config.nominal += limits.nominal;
            let level = match before.levels.get(&name) {
                Some(level) => {
                    level.configure(spec, limits);
                    level.clone()
                }
                None => Arc::new(Level::new(&name, spec, limits)),
            };
            config.levels.insert(name, level);
        }
        let mut read: Vec<Schema> = schemas.iter().filter_map(Schema::read).collect();
        read.retain(|schema| config.levels.contains_key(&schema.level));
        read.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        for (_, object) in bootstrap::mandatory().filter(|(resource, _)| *resource == SCHEMAS) {
            let Some(schema) = Schema::read(&object).filter(|s| !read.iter().any(|r| r.name == s.name)) else {
                continue;
            };
            let place = if schema.name == "exempt" { 0 } else { read.len() };
            read.insert(place, schema);
        }
        let with_level = |schema: Schema| Some((config.levels.get(&schema.level)?.clone(), schema));
        config.schemas = read.into_iter().filter_map(with_level).map(|(level, schema)| (schema, level)).collect();
        config
    }

    /// Lends and borrows by the demand since the last time. Answers whether there was any.
    pub fn adjust(&self) -> bool {
        let levels: Vec<(&Arc<Level>, Standing)> =
            self.levels.values().map(|level| (level, level.standing())).collect();
        let standings: Vec<Standing> = levels.iter().map(|(_, standing)| *standing).collect();
        for ((level, _), limit) in levels.iter().zip(adjusted(&standings, self.nominal)) {
            level.set_limit(limit);
        }
        standings.iter().any(|standing| standing.demand.highest > 0)
    }
}

fn limits(spec: &LevelSpec, total: usize, sum: u32) -> Limits {
    let share = f64::from(spec.shares) / f64::from(sum.max(1));
    let nominal = (total as f64 * share).ceil() as usize;
    let percent = |percent: u32| (nominal as f64 * f64::from(percent) / 100.0).round() as usize;
    let borrowing = spec.borrowing.map_or(total, percent);
    Limits { nominal, min: nominal - percent(spec.lendable).min(nominal), max: nominal + borrowing }
}

/// The limit of each level, in order. What exempt levels take comes off what the others share.
fn adjusted(standings: &[Standing], total: usize) -> Vec<usize> {
    let wanted = |s: &Standing| {
        let demand = if s.exempt { s.demand.highest } else { s.demand.highest.min(s.limits.nominal) };
        s.limits.min.max(demand)
    };
    let exempt: usize = standings.iter().filter(|s| s.exempt).map(wanted).sum();
    let limited: Vec<&Standing> = standings.iter().filter(|s| !s.exempt).collect();
    let least: usize = limited.iter().map(|s| s.limits.min).sum();
    let now: usize = limited.iter().map(|s| wanted(s)).sum();
    let left = total.saturating_sub(exempt);
    let shared: Vec<usize> = if left <= least {
        limited.iter().map(|s| s.limits.min).collect()
    } else if left <= now {
        let part = (left - least) as f64 / (now - least) as f64;
        limited.iter().map(|s| s.limits.min + ((wanted(s) - s.limits.min) as f64 * part).round() as usize).collect()
    } else {
        let wants: Vec<Want> = limited
            .iter()
            .map(|s| {
                let lower = wanted(s) as f64;
                Want { lower, upper: s.limits.max as f64, target: lower.max(s.demand.smoothed) }
            })
            .collect();
        match allocation::allocate(total, &wants) {
            Ok(given) => given.iter().map(|seats| seats.round() as usize).collect(),
            Err(error) => {
                tracing::warn!(%error, "priority levels keep their limits");
                limited.iter().map(|s| s.current).collect()
            }
        }
    };
    let mut shared = shared.into_iter();
    standings.iter().map(|s| if s.exempt { wanted(s) } else { shared.next().unwrap_or(s.current) }).collect()
}

/// Whether a level has queues at all, so that telling flows apart is worth while.
pub fn queues(level: &Level) -> bool {
    matches!(level.spec().discipline, Discipline::Queue(queuing) if queuing.queues > 1)
}

#[cfg(test)]
mod tests {
    use super::super::demand::Demand;
    use super::*;
    use serde_json::json;

    fn bootstrapped() -> Config {
        let (levels, schemas): (Vec<_>, Vec<_>) = bootstrap::objects().into_iter().partition(|(r, _)| *r == LEVELS);
        let objects = |list: Vec<(&str, Object)>| list.into_iter().map(|(_, o)| o).collect::<Vec<_>>();
        Config::digest(&objects(levels), &objects(schemas), 600, &Config::default())
    }

    // The limits that upstream's documentation and metrics show for 600 seats.
    #[tokio::test]
    async fn shares_become_seats() {
        let config = bootstrapped();
        let nominal = |name: &str| config.levels[name].standing().limits;
        for (name, nominal_seats, min) in [
            ("exempt", 0, 0),
            ("catch-all", 13, 13),
            ("system", 74, 50),
            ("node-high", 98, 73),
            ("leader-election", 25, 25),
            ("workload-high", 98, 49),
            ("workload-low", 245, 24),
            ("global-default", 49, 24),
        ] {
            let limits = nominal(name);
            assert_eq!((limits.nominal, limits.min), (nominal_seats, min), "{name}");
        }
        assert_eq!(config.levels["workload-low"].widest(), Some(37));
        let order: Vec<&str> = config.schemas.iter().map(|(schema, _)| schema.name.as_str()).collect();
        assert_eq!(order[..3], ["exempt", "probes", "system-leader-election"]);
        assert_eq!(order.last(), Some(&"catch-all"));
    }

    #[tokio::test]
    async fn the_mandatory_are_there_without_objects_and_dangling_schemas_are_not() {
        let dangling = json!({"metadata": {"name": "d"}, "spec": {"priorityLevelConfiguration": {"name": "none"}}});
        let config = Config::digest(&[], &[Object::from_value(dangling).unwrap()], 600, &Config::default());
        assert_eq!(config.levels.keys().collect::<Vec<_>>(), ["catch-all", "exempt"]);
        let order: Vec<&str> = config.schemas.iter().map(|(schema, _)| schema.name.as_str()).collect();
        assert_eq!(order, ["exempt", "catch-all"]);
    }

    #[test]
    fn who_wants_nothing_lends_and_who_wants_borrows() {
        let standing = |nominal: usize, min: usize, highest: usize, smoothed: f64| Standing {
            exempt: false,
            limits: Limits { nominal, min, max: nominal + 100 },
            current: nominal,
            demand: Demand { highest, smoothed },
        };
        // Nobody wants anything: in proportion to what must be kept.
        assert_eq!(adjusted(&[standing(10, 5, 0, 0.0), standing(10, 5, 0, 0.0)], 20), [10, 10]);
        // One wants a lot.
        let limits = adjusted(&[standing(10, 5, 0, 0.0), standing(10, 5, 50, 60.0)], 20);
        assert_eq!(limits, [5, 15]);
        // What must not be lent stays.
        assert_eq!(adjusted(&[standing(10, 10, 0, 0.0), standing(10, 5, 50, 60.0)], 20), [10, 10]);
        let exempt = Standing { exempt: true, limits: Limits::default(), ..standing(0, 0, 7, 7.0) };
        assert_eq!(adjusted(&[exempt, standing(10, 2, 10, 10.0), standing(10, 2, 10, 10.0)], 20), [7, 7, 7]);
        let exempt = Standing { demand: Demand { highest: 18, smoothed: 18.0 }, ..exempt };
        assert_eq!(adjusted(&[exempt, standing(10, 2, 10, 10.0), standing(10, 2, 10, 10.0)], 20), [18, 2, 2]);
    }
}
