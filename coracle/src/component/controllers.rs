//! `coracle controllers`: only the controllers, in the place of upstream's kube-controller-manager.
//!
//! Each controller acts as its own service account (upstream's `--use-service-account-credentials`, always): the identity of the
//! kubeconfig reads for all, holds the lease and asks for their tokens.

use super::service_account::ServiceAccounts;
use super::{Deps, TakingTurns, Target};
use anyhow::Context as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use vcluster_apiserver::pki::pem;

/// The name of upstream's Lease.
const LEASE: &str = "kube-controller-manager";

#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    turns: TakingTurns,
    /// Which controllers run: `*` for those that upstream starts by default, `NAME` for one more, `-NAME` for one less
    #[arg(long, value_delimiter = ',', default_value = "*", allow_hyphen_values = true)]
    controllers: Vec<String>,
    /// The certificates that pods trust the API server by; those of the kubeconfig by default
    #[arg(long)]
    root_ca_file: Option<PathBuf>,
}

impl Args {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let (enabled, disabled) = chosen(&self.controllers)?;
        let config = ::controllers::Config { enabled, disabled, ..::controllers::Config::default() };
        let deps = self.target.connect().await?;
        let accounts = ServiceAccounts::new(&deps)?;
        // The names of users, which accounts cannot have, stand for the controller manager itself.
        let own = deps.client.clone();
        let controllers = ::controllers::Deps {
            informers: deps.informers.clone(),
            clients: Arc::new(move |name| if name.contains(':') { own.clone() } else { accounts.client(name) }),
            clock: deps.clock.clone(),
            rng: deps.rng.clone(),
            stop: deps.stop.clone(),
            ca_bundle: self.bundle(&deps)?,
            health: ::controllers::Health::default(),
            credentials: None,
            cloud: None,
        };
        self.turns.run(LEASE, &deps, ::controllers::run(config, controllers)).await
    }

    fn bundle(&self, deps: &Deps) -> anyhow::Result<String> {
        let file = self.root_ca_file.as_ref().or(deps.config.root_cert_file.as_ref());
        if let (Some(path), true) = (file, self.root_ca_file.is_some() || deps.config.root_cert.is_none()) {
            return std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        }
        let certificates = deps.config.root_cert.iter().flatten();
        Ok(certificates.map(|der| pem::encode("CERTIFICATE", der)).collect())
    }
}

/// Reads `--controllers`: what runs beyond the defaults, and what of them does not.
fn chosen(words: &[String]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let (all, named): (Vec<_>, Vec<_>) = words.iter().partition(|word| *word == "*");
    anyhow::ensure!(!all.is_empty(), "--controllers must contain *, with -NAME for those that are not to run");
    let (less, more): (Vec<_>, Vec<_>) = named.into_iter().partition(|word| word.starts_with('-'));
    let names = |words: Vec<&String>| words.into_iter().map(|word| word.trim_start_matches('-').to_owned()).collect();
    Ok((names(more), names(less)))
}

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn controllers_are_chosen_by_name() {
        let read = |line: &str| chosen(&line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let (more, less) = read("*,bootstrap-signer-controller,-cronjob-controller").unwrap();
        assert_eq!((more, less), (vec!["bootstrap-signer-controller".into()], vec!["cronjob-controller".into()]));
        assert_eq!(read("*").unwrap(), (Vec::new(), Vec::new()));
        assert!(read("job-controller").is_err());
    }
}
