//! Creates, updates and deletes, with a journal that is complete: after a failure the object is looked at, to know whether the
//! server had still done what was asked. So each object has one writer, and the server may be killed at any time.

use crate::record::Record;
use anyhow::Result;
use apimachinery::clock::{Rng, SeededRng};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// After a failure.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub struct Options {
    /// How many objects are changed, `object-000000` and so on
    #[arg(long)]
    objects: usize,
    /// How many requests are under way at once
    #[arg(long, default_value_t = 8)]
    writers: usize,
    /// Changes per second, of all writers
    #[arg(long)]
    rate: u32,
}

/// Runs until `told` to end.
pub async fn run(api: &Api<ConfigMap>, record: &Record, options: &Options, mut told: Signal) -> Result<()> {
    let over = Cell::new(false);
    let ending = async {
        told.recv().await;
        over.set(true);
        Ok(())
    };
    let writers = (0..options.writers).map(|writer| {
        let mut writer =
            Writer { api, record, rng: SeededRng::new(writer as u64), known: BTreeMap::new(), number: writer };
        let over = &over;
        async move {
            let mut ticks = interval(Duration::from_secs(1) * options.writers as u32 / options.rate);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !over.get() {
                ticks.tick().await;
                writer.step(options).await?;
            }
            anyhow::Ok(())
        }
    });
    futures::future::try_join(try_join_all(writers), ending).await?;
    let mut end = Writer { api, record, rng: SeededRng::new(0), known: BTreeMap::new(), number: 0 };
    end.change("end", false).await
}

struct Writer<'a> {
    api: &'a Api<ConfigMap>,
    record: &'a Record,
    rng: SeededRng,
    /// The revision of each object that it has looked at, none where there is no object.
    known: BTreeMap<String, Option<String>>,
    number: usize,
}

impl Writer<'_> {
    /// Changes one of its objects.
    async fn step(&mut self, options: &Options) -> Result<()> {
        let own = options.objects / options.writers;
        let name = format!("object-{:06}", self.rng.below(own) * options.writers + self.number);
        let delete = self.rng.below(4) == 0;
        self.change(&name, delete).await
    }

    /// Deletes an object, or writes it anew, and writes down what became of that.
    async fn change(&mut self, name: &str, delete: bool) -> Result<()> {
        let before = match self.known.get(name) {
            Some(known) => known.clone(),
            None => self.look(name).await,
        };
        let object = object(name, before.as_deref());
        let written = match (&before, delete) {
            (None, _) => self.api.create(&PostParams::default(), &object).await.map(Some),
            (Some(_), false) => self.api.replace(name, &PostParams::default(), &object).await.map(Some),
            (Some(_), true) => self.api.delete(name, &DeleteParams::default()).await.map(|_| None),
        };
        let after = match written {
            Ok(object) => object.and_then(|object| object.metadata.resource_version),
            Err(_) => self.look(name).await,
        };
        if after != before {
            match &after {
                Some(revision) => self.record.line(&format!("applied {name} {revision}"))?,
                None => self.record.line(&format!("deleted {name} -"))?,
            }
        }
        self.known.insert(name.to_owned(), after);
        Ok(())
    }

    /// The revision of an object, as soon as the server can be asked.
    async fn look(&self, name: &str) -> Option<String> {
        loop {
            match self.api.get_opt(name).await {
                Ok(object) => return object?.metadata.resource_version,
                Err(_) => sleep(PAUSE).await,
            }
        }
    }
}

/// Never twice the same, so that each write is a change.
fn object(name: &str, before: Option<&str>) -> ConfigMap {
    let mut object = ConfigMap::default();
    object.metadata.name = Some(name.to_owned());
    let after = before.unwrap_or("nothing").to_owned();
    object.data = Some(BTreeMap::from([("after".to_owned(), after)]));
    object
}
