//! A broker's place in a cluster: its id, where it listens, whom it votes with, and what that is in `server.properties`.

use std::process::Command;

use crate::broker::free_port;

/// The ports of one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Kafka's wire.
    pub kafka: u16,
    /// Ottla's gRPC and HTTP; nobody listens there on Kafka.
    pub api: u16,
    /// The metadata quorum.
    pub controller: u16,
}

impl Ports {
    /// Three that nobody listens on now.
    pub fn free() -> Self {
        Self { kafka: free_port(), api: free_port(), controller: free_port() }
    }

    /// Those of the broker that comes so many places later, ten ports apart each.
    pub(crate) fn shifted(self, places: usize) -> Self {
        let shift = u16::try_from(places * 10).expect("few brokers");
        let Self { kafka, api, controller } = self;
        Self { kafka: kafka + shift, api: api + shift, controller: controller + shift }
    }

    /// The well-known ones, for a broker that has an address to itself.
    pub const WELL_KNOWN: Ports = Ports { kafka: 9092, api: 9095, controller: 9093 };
}

/// What a node does in its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A broker that votes on metadata.
    Both,
    /// A broker that does not.
    Broker,
    /// A node that does nothing else.
    Controller,
}

impl Role {
    /// Whether it votes.
    pub fn votes(self) -> bool {
        self != Role::Broker
    }

    /// `process.roles`
    fn name(self) -> &'static str {
        match self {
            Role::Both => "broker,controller",
            Role::Broker => "broker",
            Role::Controller => "controller",
        }
    }
}

/// One node of a cluster, known before any of them starts: the voters are named in everybody's configuration.
#[derive(Clone, Debug)]
pub struct Place {
    /// `node.id`.
    pub id: i32,
    /// The address it listens on and advertises.
    pub host: String,
    /// Its ports.
    pub ports: Ports,
    /// `controller.quorum.voters`.
    pub voters: String,
    /// What it does there.
    pub role: Role,
    /// How many brokers the cluster has, which says how often internal topics are replicated.
    pub brokers: usize,
    /// The network namespace it lives in; ours when `None`.
    pub namespace: Option<String>,
}

impl Place {
    /// `ID@HOST:PORT`, as `controller.quorum.voters` lists it.
    pub fn voter(id: i32, host: &str, ports: Ports) -> String {
        format!("{id}@{host}:{}", ports.controller)
    }

    /// The settings of an Ottla node; the listeners are set by who starts it.
    pub fn ottla_settings(&self) -> Vec<(String, String)> {
        let settings = [
            ("process.roles", self.role.name().to_owned()),
            ("node.id", self.id.to_string()),
            ("controller.quorum.voters", self.voters.clone()),
            ("controller.listener.names", "CONTROLLER".to_owned()),
        ];
        settings.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// The listeners of an Ottla node.
    pub fn ottla_listeners(&self) -> String {
        let Place { host, ports, role, .. } = self;
        let control = format!("CONTROLLER://{host}:{}", ports.controller);
        match role {
            Role::Controller => control,
            Role::Both | Role::Broker => {
                format!("PLAINTEXT://{host}:{},API://{host}:{},{control}", ports.kafka, ports.api)
            }
        }
    }

    /// The properties of a Kafka broker: combined with a controller where it votes. Internal topics and `min.insync.replicas`
    /// are what Ottla's defaults are, so that both promise the same.
    pub fn kafka_properties(&self) -> String {
        let Place { id, host, ports, voters, .. } = self;
        let control = format!("CONTROLLER://{host}:{}", ports.controller);
        let clients = format!("PLAINTEXT://{host}:{}", ports.kafka);
        let listeners = match self.role {
            Role::Both => format!("listeners={clients},{control}\nadvertised.listeners={clients}\n"),
            Role::Broker => format!("listeners={clients}\nadvertised.listeners={clients}\n"),
            Role::Controller => format!("listeners={control}\n"),
        };
        let copies = self.brokers.min(3);
        let in_sync = copies.min(2);
        let several = match in_sync {
            1 => String::new(),
            several => {
                // On a busy machine the others may come more than Kafka's minute later.
                format!("min.insync.replicas={several}\ninitial.broker.registration.timeout.ms=180000\n")
            }
        };
        format!(
            "process.roles={roles}\n\
             node.id={id}\n\
             controller.quorum.voters={voters}\n\
             {listeners}\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             {several}\
             offsets.topic.replication.factor={copies}\n\
             transaction.state.log.replication.factor={copies}\n\
             transaction.state.log.min.isr={in_sync}\n",
            roles = self.role.name(),
        )
    }

    /// The same command inside the broker's network namespace. `nsenter` becomes the program, so our child is the broker.
    pub fn inside(&self, command: Command) -> Command {
        let Some(namespace) = &self.namespace else { return command };
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--net=/run/netns/{namespace}")).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }
}
