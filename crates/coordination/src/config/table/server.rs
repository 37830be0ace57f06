//! Keys of a broker: who it is, where it listens, what its connections may take.

use crate::config::definition::configs;

configs! {
    /// Keys of a broker: who it is, where it listens, what its connections may take.
    SERVER in Broker;

    "advertised.listeners": List = null, NonEmptyList, High, ReadOnly, Honoured,
        "Addresses that clients are told to connect to, when they differ from `listeners`.";
    "broker.id": Int = "-1", Any, High, ReadOnly, Honoured,
        "Older name of `node.id`; where both are given they must agree.";
    "broker.rack": String = null, Any, Medium, ReadOnly, Honoured,
        "Rack, zone or region of this broker, reported to clients and used for placing replicas.";
    "node.id": Int = required, AtLeast(0), High, ReadOnly, Honoured,
        "Number of this node, unique in its cluster.";
    "process.roles": List = required, NonEmptyListOf(&["broker", "controller"]), High, ReadOnly, Honoured,
        "Roles of this process: `broker`, `controller` or both.";
    "listeners": List = "PLAINTEXT://:9092", NonEmptyList, High, PerBroker, Honoured,
        "Where to listen: `PLAINTEXT://host:port` for Kafka clients. An empty host or 0.0.0.0 listens on all interfaces.";
    "listener.security.protocol.map": String = "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Any, Low, PerBroker, Honoured,
        "Security protocol of each listener name.";
    "early.start.listeners": List = null, DistinctList, High, ReadOnly, Accepted,
        "Listeners opened before the authorizer is ready.";
    "inter.broker.listener.name": String = null, Any, Medium, ReadOnly, Honoured,
        "Listener that brokers use to reach each other.";
    "security.inter.broker.protocol": String = "PLAINTEXT", OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), Medium, ReadOnly, Honoured,
        "Security protocol between brokers, when inter.broker.listener.name does not say it.";
    "num.network.threads": Int = "3", AtLeast(1), High, ClusterWide, Accepted,
        "Kafka's threads that read and write sockets. Ottla's connections run on one pool as wide as the machine.";
    "num.io.threads": Int = "8", AtLeast(1), High, ClusterWide, Accepted,
        "Kafka's threads that serve requests. Ottla's connections run on one pool as wide as the machine.";
    "background.threads": Int = "10", AtLeast(1), High, ClusterWide, Accepted,
        "Kafka's threads for housekeeping.";
    "queued.max.requests": Int = "500", AtLeast(1), High, ReadOnly, Accepted,
        "Requests that may wait for a thread in Kafka. Ottla bounds the requests of each connection instead.";
    "queued.max.request.bytes": Long = "-1", Any, Medium, ReadOnly, Honoured,
        "Memory for the requests of all connections of all listeners together, from their arrival to their answer (over gRPC: until they are appended); 0 and below is unlimited. Small requests do not count and never wait; when it is spent, connections stop reading, and a client that is slow to send what it has begun is closed.";
    "request.timeout.ms": Int = "30000", Any, High, ReadOnly, Honoured,
        "How long a change of configs, and a request to another broker, may take before it is given up.";
    "socket.listen.backlog.size": Int = "50", AtLeast(1), Medium, ReadOnly, Honoured,
        "Connections the kernel may hold before they are accepted; it has a bound of its own (net.core.somaxconn).";
    "socket.receive.buffer.bytes": Int = "102400", Any, High, ReadOnly, Honoured,
        "SO_RCVBUF of client connections; -1 leaves it to the kernel.";
    "socket.send.buffer.bytes": Int = "102400", Any, High, ReadOnly, Honoured,
        "SO_SNDBUF of client connections; -1 leaves it to the kernel.";
    "socket.request.max.bytes": Int = "104857600", AtLeast(1), High, ReadOnly, Honoured,
        "Largest request accepted; a longer one closes the connection.";
    "socket.connection.setup.timeout.ms": Long = "10000", Any, Medium, ReadOnly, Accepted,
        "How long a connection to another broker may take to establish.";
    "socket.connection.setup.timeout.max.ms": Long = "30000", Any, Medium, ReadOnly, Accepted,
        "Bound of the growing time that connecting to another broker may take.";
    "max.connections": Int = "2147483647", AtLeast(0), Medium, ClusterWide, Honoured,
        "Connections this broker holds at most, those of its HTTP port among them; those beyond wait until one closes.";
    "max.connections.per.ip": Int = "2147483647", AtLeast(0), Medium, ClusterWide, Honoured,
        "Connections from one address to all listeners at most; those beyond are closed.";
    "max.connections.per.ip.overrides": String = "", Any, Medium, ClusterWide, Honoured,
        "Addresses with a limit of their own: `host:count,host:count`.";
    "max.connection.creation.rate": Int = "2147483647", AtLeast(0), Medium, ClusterWide, Honoured,
        "New connections accepted per second by all listeners; those beyond wait.";
    "connections.max.idle.ms": Long = "600000", Any, Medium, ReadOnly, Honoured,
        "Connections without traffic are closed after this; never, if it is negative.";
    "connections.max.reauth.ms": Long = "0", Any, Medium, ReadOnly, Accepted,
        "Time after which a SASL client must authenticate again; 0 never.";
    "connection.failed.authentication.delay.ms": Int = "100", AtLeast(0), Low, ReadOnly, Accepted,
        "How long the answer to a failed authentication is held back.";
    "max.request.partition.size.limit": Int = "2000", AtLeast(1), Medium, ReadOnly, Honoured,
        "Partitions that one DescribeTopicPartitions answer may carry.";
    "controlled.shutdown.enable": Boolean = "true", Any, Medium, ReadOnly, Accepted,
        "Move leaderships away before stopping. Ottla always does.";
    "server.max.startup.time.ms": Long = "9223372036854775807", AtLeast(0), Medium, ReadOnly, Accepted,
        "How long Kafka waits for its own start.";
    "config.providers": List = "", DistinctList, Low, ClusterWide, Accepted,
        "Java classes that fetch secrets named in the configuration.";
    "unstable.api.versions.enable": Boolean = "false", Any, High, ReadOnly, Accepted,
        "Kafka's switch for API versions that are not final.";
    "unstable.feature.versions.enable": Boolean = "false", Any, High, ReadOnly, Accepted,
        "Kafka's switch for feature levels that are not final.";
    "fetch.max.bytes": Int = "57671680", AtLeast(1024), Medium, ReadOnly, Honoured,
        "Largest fetch answer, whatever the client asks for. The first batch is always returned whole.";
    "max.incremental.fetch.session.cache.slots": Int = "1000", AtLeast(0), Medium, ReadOnly, Honoured,
        "Incremental fetch sessions kept at most.";
    "telemetry.max.bytes": Int = "1048576", AtLeast(1), Low, ReadOnly, Accepted,
        "Largest metrics push accepted from a client.";
}
