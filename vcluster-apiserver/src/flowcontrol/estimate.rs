//! How many seats a request takes (k8s.io/apiserver `pkg/util/flowcontrol/request`). Pure.

use super::queue_set::Work;
use crate::request::RequestInfo;
use crate::request::options::ListOptions;
use crate::request::query::Query;
use std::time::Duration;

/// Memory that one seat of a list stands for.
const BYTES_PER_SEAT: usize = 100_000;
/// A list out of the cache is written as a stream, which bounds what it holds at once.
const STREAMED: usize = 1_000_000;
const WIDEST_LIST: usize = 100;
const WIDEST_WRITE: usize = 10;
/// So many watchers make one more seat, for so long, after a write.
const WATCHERS_PER_SEAT: usize = 10;
const PER_EVENT: Duration = Duration::from_millis(5);

/// What is known of a resource's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub objects: usize,
    pub average: usize,
}

/// Where the estimate finds out about the world.
pub trait World {
    /// None for resources that are not stored here.
    fn size(&self, info: &RequestInfo) -> Option<Size>;
    /// Watches that will see what the request writes.
    fn watchers(&self, info: &RequestInfo) -> usize;
}

/// `widest`: the most seats that the priority level gives one request.
pub fn work(info: &RequestInfo, query: &Query, widest: Option<usize>, world: &dyn World) -> Work {
    let bounded = |most: usize| widest.unwrap_or(most).min(most);
    match info.verb.as_str() {
        "list" | "watch" => Work::seats(list(info, query, bounded(WIDEST_LIST), world)),
        "create" | "update" | "patch" | "delete" => write(info, bounded(WIDEST_WRITE), world),
        _ => Work::seats(1),
    }
}

fn list(info: &RequestInfo, query: &Query, widest: usize, world: &dyn World) -> usize {
    let watch = info.verb == "watch";
    let Ok(options) = ListOptions::parse(query, watch) else { return widest };
    let version = options.resource_version.as_str();
    if watch && options.send_initial_events != Some(true) && !matches!(version, "" | "0") {
        return 1;
    }
    let Some(Size { objects, average }) = world.size(info) else { return 1 };
    let limited = if options.limit > 0 { objects.min(options.limit) } else { objects };
    let from_cache = watch || !is_exact(&options);
    let selects = !options.label_selector.is_empty() || !options.field_selector.is_empty();
    let loaded = if !info.name.is_empty() {
        1
    } else if selects && !from_cache {
        limited.max(objects / 2)
    } else {
        limited
    };
    let bytes = loaded.saturating_mul(average);
    let bytes = if from_cache { bytes.min(STREAMED) } else { bytes };
    bytes.div_ceil(BYTES_PER_SEAT).clamp(1, widest.max(1))
}

/// Whether upstream's cache, without its snapshots, would pass the list on to the store.
fn is_exact(options: &ListOptions) -> bool {
    match options.resource_version_match.as_str() {
        "Exact" => true,
        "" => {
            !options.continue_.is_empty()
                || (options.limit > 0 && !matches!(options.resource_version.as_str(), "" | "0"))
        }
        _ => false,
    }
}

fn write(info: &RequestInfo, widest: usize, world: &dyn World) -> Work {
    // A token is written nowhere.
    if info.resource == "serviceaccounts" && info.subresource == "token" {
        return Work::seats(1);
    }
    let watchers = world.watchers(info);
    if watchers < WATCHERS_PER_SEAT {
        return Work::seats(1);
    }
    let wanted = watchers.div_ceil(WATCHERS_PER_SEAT);
    let last = wanted.min(widest.max(1));
    // Narrower and so much longer.
    Work { initial: 1, last, linger: PER_EVENT.mul_f64(wanted as f64 / last as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::info;
    use http::Method;

    struct Fixed(Option<Size>, usize);

    impl World for Fixed {
        fn size(&self, _: &RequestInfo) -> Option<Size> {
            self.0
        }

        fn watchers(&self, _: &RequestInfo) -> usize {
            self.1
        }
    }

    fn ask(method: Method, uri: &str, widest: Option<usize>, objects: usize, watchers: usize) -> Work {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let query = Query::parse(query);
        let info = info::parse(&method, path, &query).unwrap();
        work(&info, &query, widest, &Fixed(Some(Size { objects, average: 10_000 }), watchers))
    }

    // Shapes of upstream's width_test.go, TestWorkEstimator with SizeBasedListCostEstimate.
    #[test]
    fn lists_cost_what_they_hold_in_memory() {
        for (uri, objects, seats) in [
            ("/api/v1/namespaces/a/pods/x", 1000, 1),
            ("/api/v1/pods", 1000, 10),
            ("/api/v1/pods", 5, 1),
            ("/api/v1/pods?limit=50", 1000, 5),
            ("/api/v1/pods?limit=50&resourceVersion=7", 1000, 5),
            ("/api/v1/pods?limit=50&resourceVersion=7&labelSelector=a%3Db", 1000, 50),
            ("/api/v1/pods?resourceVersion=7&resourceVersionMatch=Exact", 5000, 100),
            ("/api/v1/pods?fieldSelector=metadata.name%3Dx", 1000, 1),
            ("/api/v1/pods?watch=true", 1000, 10),
            ("/api/v1/pods?watch=true&resourceVersion=9", 1000, 1),
            (
                "/api/v1/pods?watch=true&resourceVersion=9&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
                1000,
                10,
            ),
            ("/version", 1000, 1),
        ] {
            assert_eq!(ask(Method::GET, uri, None, objects, 0), Work::seats(seats), "{uri}");
        }
        assert_eq!(ask(Method::GET, "/api/v1/pods", Some(6), 1000, 0), Work::seats(6));
        assert_eq!(
            work(
                &RequestInfo { verb: "list".into(), ..RequestInfo::default() },
                &Query::default(),
                None,
                &Fixed(None, 0)
            ),
            Work::seats(1)
        );
    }

    #[test]
    fn writes_cost_what_their_watchers_do() {
        let uri = "/api/v1/namespaces/a/pods";
        let ms = Duration::from_millis;
        for (watchers, widest, last, linger) in [
            (5, None, 0, ms(0)),
            (10, None, 1, ms(5)),
            (29, None, 3, ms(5)),
            (250, None, 10, Duration::from_micros(12_500)),
            (250, Some(5), 5, ms(25)),
        ] {
            let expected = Work { initial: 1, last, linger };
            assert_eq!(ask(Method::POST, uri, widest, 0, watchers), expected, "{watchers}");
        }
        let token = "/api/v1/namespaces/a/serviceaccounts/b/token";
        assert_eq!(ask(Method::POST, token, None, 0, 100), Work::seats(1));
    }
}
