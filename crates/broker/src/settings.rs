//! From files and arguments to a checked configuration.

use std::fs;

use anyhow::Context;
use ottla_node::BrokerSettings;
pub use ottla_node::coordination::config::Settings;
use ottla_node::coordination::config::{self, BrokerConfig, Given, Layers, Notice};
use ottla_node::coordination::metadata::Image;

use crate::cli::Serve;

/// A configuration a broker can start with.
#[derive(Debug)]
pub struct Loaded {
    /// The settings, and what they come to.
    pub broker: BrokerSettings,
    /// What the log says about them.
    pub notices: Vec<Notice>,
}

/// Reads the file and the arguments over it, and checks them.
pub fn load(arguments: &Serve) -> anyhow::Result<Loaded> {
    let file = match &arguments.config {
        Some(path) => {
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some((path.display().to_string(), text))
        }
        None => None,
    };
    let mut command_line = arguments.settings.clone();
    if let Some(directory) = &arguments.data_dir {
        let directory = directory.to_str().context("the data directory's name is not UTF-8")?;
        command_line.push(("log.dirs".to_owned(), directory.to_owned()));
    }
    let file = file.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
    let given = Given::read(file, &command_line)?;
    let none = Settings::new();
    let layers = Layers { broker: &none, cluster: &none, file: &given.settings, brokers: 1 };
    let config = BrokerConfig::resolve(layers, &host_name())?;
    Ok(Loaded { broker: BrokerSettings { file: given.settings, config }, notices: given.notices })
}

impl Loaded {
    /// What `--explain` prints.
    pub fn explain(&self) -> String {
        let none = Settings::new();
        let layers = Layers { broker: &none, cluster: &none, file: &self.broker.file, brokers: 1 };
        let notices: String = self.notices.iter().map(|notice| format!("{notice}\n")).collect();
        let gap = if notices.is_empty() { "" } else { "\n" };
        format!("{notices}{gap}{}", config::explain(layers))
    }

    /// Puts what was set on this broker, or on all, over what stands in the file. Topics follow such changes at once; what
    /// the broker itself takes from them (`max.connections`, `producer.id.expiration.ms`), it takes here, at its start.
    pub fn apply_dynamic(&mut self, image: &Image) {
        let resolved = self.broker.with_layers(image, |layers| BrokerConfig::resolve(layers, &host_name()));
        match resolved {
            // Sockets are bound already, and where the data is cannot change under it.
            Ok(config) => {
                let BrokerConfig { listeners, quorum, data_dir, node_id, .. } = self.broker.config.clone();
                self.broker.config = BrokerConfig { listeners, quorum, data_dir, node_id, ..config };
            }
            Err(error) => {
                tracing::warn!(
                    "the settings stored in the cluster are not used for this broker: {error}; correct them (kafka-configs.sh --entity-type brokers) and start again"
                )
            }
        }
    }

    /// Writes to the log what there is to say about the settings.
    pub fn log(&self) {
        for notice in &self.notices {
            match notice {
                Notice::Unknown { .. } => tracing::warn!("{notice}"),
                _ => tracing::info!("{notice}"),
            }
        }
        for listener in self.broker.config.listeners.iter().filter(|listener| listener.advertised_is_guessed)
        {
            tracing::warn!(
                "{} listens on all interfaces: clients will be told {}. Set advertised.listeners if that is not how they reach it",
                listener.bind.name,
                listener.advertised.host,
            );
        }
    }
}

/// The name clients are told where a listener is open to all interfaces.
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
