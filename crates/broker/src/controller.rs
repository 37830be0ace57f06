//! A node that only votes (`process.roles=controller`): it takes part in the metadata quorum, may lead it, and has neither records nor
//! clients.
//!
//! Start: lock the data directory, bind the listener for the other nodes, take part in the quorum. Stop: leave off, mark the directory
//! clean. Nobody has to be told: the other voters elect a leader when this one is silent.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use ottla_node::coordination::config::BrokerConfig;
use ottla_node::record::Uuid;
use ottla_node::storage::LogDirectory;
use ottla_quorum::Quorum;
use tokio::runtime::Handle;

use crate::limits::raise_descriptors;
use crate::membership::start_quorum;
use crate::serve::{open_directory, random};
use crate::service_manager;
use crate::settings::Loaded;
use crate::signals::Signals;
use crate::sockets;

/// A node that takes part in the quorum.
pub(crate) struct Controller {
    config: BrokerConfig,
    directory: Arc<LogDirectory>,
    quorum: Quorum,
}

impl Controller {
    /// Returns when this node is a member of a quorum that has a leader.
    pub(crate) async fn start(settings: Loaded, control: Handle) -> anyhow::Result<Self> {
        let descriptors = raise_descriptors();
        let config = settings.broker.config.clone();
        let directory = Arc::new(open_directory(&config, descriptors)?);
        settings.log();
        let listener =
            config.quorum.as_ref().context("a node that only votes has a listener for the others")?;
        let bound = sockets::bind_control(listener)?;
        let incarnation = Uuid::from_random(random());
        let (in_control, of_control) = (config.clone(), Arc::clone(&directory));
        let starting = control.spawn(async move {
            start_quorum(&in_control, Some(bound), &of_control, incarnation, random).await
        });
        Ok(Self { config, directory, quorum: starting.await?? })
    }

    /// Says that it is there, and stays until a signal or its disk ends it.
    pub(crate) async fn run(self, mut signals: Signals, started: Instant) -> anyhow::Result<()> {
        let took = started.elapsed().as_millis();
        tracing::info!(took_ms = took, "ready");
        service_manager::notify(service_manager::READY);
        // A reader that has gone away is no reason to stop.
        let _ = std::io::Write::write_all(&mut std::io::stdout(), self.greeting(took).as_bytes());
        let failure = tokio::select! {
            name = signals.stop() => {
                tracing::info!("{name}: stopping; again to end at once");
                None
            }
            reason = self.quorum.stopped() => Some(reason),
        };
        service_manager::notify(service_manager::STOPPING);
        signals.end_at_the_next();
        self.quorum.shutdown().await?;
        tokio::task::spawn_blocking(move || self.directory.mark_clean(None)).await??;
        tracing::info!("stopped");
        match failure {
            None => Ok(()),
            Some(reason) => bail!("the metadata quorum failed: {reason}"),
        }
    }

    fn greeting(&self, took_ms: u128) -> String {
        let BrokerConfig { node_id, data_dir, quorum, .. } = &self.config;
        let reached = quorum.as_ref().map(|quorum| format!(" and is reached on {}", quorum.advertised));
        format!(
            "Ottla {} is ready after {took_ms} ms: node {node_id} votes on metadata{}, data in {}\n\nStop with Ctrl-C.\n",
            env!("CARGO_PKG_VERSION"),
            reached.unwrap_or_default(),
            data_dir.display(),
        )
    }
}
