//! A store under encryption behaves as one without, and holds no plain text.

use super::*;
use base64::Engine as _;
use proptest::prelude::*;
use storage::{Bounds, Cache, Memory};

/// A configuration of secrets with these providers, keys named by the byte that they consist of.
fn encryption(providers: &[(&str, &[u8])]) -> Encryption {
    let providers: Vec<String> = providers
        .iter()
        .map(|(name, keys)| {
            let key = |byte: &u8| {
                let secret = base64::engine::general_purpose::STANDARD.encode([*byte; 32]);
                format!("{{name: k{byte}, secret: {secret}}}")
            };
            match *name {
                "identity" => "{identity: {}}".to_owned(),
                name => format!("{{{name}: {{keys: [{}]}}}}", keys.iter().map(key).collect::<Vec<_>>().join(", ")),
            }
        })
        .collect();
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n";
    Encryption::parse(&format!("{head}resources: [{{resources: [secrets], providers: [{}]}}]", providers.join(", ")))
        .unwrap()
}

fn body(text: &str) -> Unsealed {
    let head = r#"{"kind":"Secret","metadata":{"resourceVersion":""#;
    Unsealed { bytes: format!(r#"{head}"}},"data":"{text}"}}"#).into_bytes(), revision_at: head.len() }
}

fn secret(name: &str) -> Key {
    Key::new("secrets", "ns", name.to_owned())
}

async fn put(store: &dyn Storage, key: Key, text: &str) -> Revision {
    store.transact(vec![], vec![Write::Put(key, body(text))]).await.unwrap()[0]
}

#[tokio::test]
async fn secrets_are_nowhere_in_the_store_and_everywhere_above_it() {
    for provider in ["aesgcm", "aescbc", "secretbox"] {
        let memory: Arc<dyn Storage> = Arc::new(Memory::new());
        let store: Arc<dyn Storage> = Arc::new(Encrypted::new(memory.clone(), encryption(&[(provider, &[1])])));
        let cache = Cache::start(store.clone(), Bounds::default()).await.unwrap();
        put(&cache, secret("a"), "hidden").await;
        put(&cache, secret("a"), "hidden again").await;
        put(&cache, Key::new("configmaps", "ns", "c"), "plain").await;
        let delete = Write::Delete(secret("a"), body("hidden again"));
        let mut watch = store.watch(None, Revision(0)).await.unwrap();
        let raw = memory.get(&secret("a")).await.unwrap().unwrap();
        assert!(raw.body.starts_with(format!("k8s:enc:{provider}:v1:k1:").as_bytes()));
        let plain = store.get(&secret("a")).await.unwrap().unwrap();
        assert_eq!(plain.body, body("hidden again").seal(Revision(2)));
        assert_eq!(cache.get(&secret("a")).await.unwrap().unwrap(), plain);
        cache.transact(vec![], vec![delete]).await.unwrap();
        for event in memory.changes(None, Revision(0), 100).await.unwrap().events {
            for stored in [Some(&event.object), event.previous.as_ref()].into_iter().flatten() {
                assert!(!stored.body.windows(6).any(|w| w == b"hidden"), "{provider}");
            }
        }
        for (revision, text) in [(1, "hidden"), (2, "hidden again"), (3, "plain"), (4, "hidden again")] {
            let event = watch.next().await.unwrap().unwrap();
            assert_eq!(event.object.body, body(text).seal(Revision(revision)));
        }
        let old = store.list(&Range { at: Some(Revision(1)), ..Range::all("secrets") }).await.unwrap();
        assert_eq!(old.items[0].body, body("hidden").seal(Revision(1)));
    }
}

#[tokio::test]
async fn keys_are_rotated_and_everything_is_written_again() {
    let memory: Arc<dyn Storage> = Arc::new(Memory::new());
    put(&*memory, secret("plain"), "one").await;
    let steps: [&[(&str, &[u8])]; 5] = [
        &[("aescbc", &[1]), ("identity", &[])],
        &[("aescbc", &[2, 1])],
        &[("secretbox", &[3]), ("aescbc", &[2])],
        &[("aesgcm", &[4]), ("secretbox", &[3])],
        &[("identity", &[]), ("aesgcm", &[4])],
    ];
    for (index, step) in steps.into_iter().enumerate() {
        let store = Encrypted::new(memory.clone(), encryption(step));
        put(&store, secret("new"), "two").await;
        assert_eq!(store.rewrite().await.unwrap(), 1, "{step:?}");
        assert_eq!(store.rewrite().await.unwrap(), 0, "{step:?}");
        let stored = store.get(&secret("plain")).await.unwrap().unwrap();
        assert_eq!(stored.body, body("one").seal(stored.revision));
        let prefix = if index == 4 { "{".to_owned() } else { format!("k8s:enc:{}:v1:", step[0].0) };
        for name in ["plain", "new"] {
            assert!(memory.get(&secret(name)).await.unwrap().unwrap().body.starts_with(prefix.as_bytes()));
        }
    }
}

#[tokio::test]
async fn what_no_key_opens_is_an_error() {
    let memory: Arc<dyn Storage> = Arc::new(Memory::new());
    put(&Encrypted::new(memory.clone(), encryption(&[("aesgcm", &[1])])), secret("a"), "one").await;
    for wrong in [encryption(&[("aesgcm", &[2])]), encryption(&[("identity", &[])]), Encryption::default()] {
        let store = Encrypted::new(memory.clone(), wrong);
        assert!(matches!(store.get(&secret("a")).await, Err(Error::Backend { .. })));
        assert!(store.everything().await.is_err());
    }
    // A body from another place is not believed.
    let raw = memory.get(&secret("a")).await.unwrap().unwrap();
    let moved = raw.body.strip_suffix(b"1").unwrap().to_vec();
    memory
        .transact(vec![], vec![Write::Put(secret("b"), Unsealed { revision_at: moved.len(), bytes: moved })])
        .await
        .unwrap();
    let store = Encrypted::new(memory.clone(), encryption(&[("aesgcm", &[1])]));
    assert!(store.get(&secret("a")).await.is_ok());
    assert!(store.get(&secret("b")).await.is_err());
    // Plain bodies are read only where identity is configured.
    put(&*memory, secret("c"), "plain").await;
    assert!(store.get(&secret("c")).await.is_err());
}

#[tokio::test]
async fn a_conflict_shows_the_plain_body() {
    let store = Encrypted::new(Arc::new(Memory::new()), encryption(&[("secretbox", &[1])]));
    put(&store, secret("a"), "one").await;
    let clash = store.transact(vec![Check::Absent(secret("a"))], vec![Write::Put(secret("a"), body("two"))]).await;
    let Err(Error::Conflict { found: Some(found), .. }) = clash else { panic!("no conflict") };
    assert_eq!(found.body, body("one").seal(Revision(1)));
}

proptest! {
    #[test]
    fn packing_is_undone(bytes: Vec<u8>, at: usize, other: Vec<u8>) {
        let body = Unsealed { revision_at: at % (bytes.len() + 1), bytes };
        prop_assert_eq!(unpack(&pack(&body)), Some(body));
        let _ = unpack(&other);
    }
}
