//! Keys of a broker: idempotent producers and transactions.

use crate::config::definition::configs;

configs! {
    /// Keys of a broker: idempotent producers and transactions.
    TRANSACTIONS in Broker;

    "add.partitions.to.txn.retry.backoff.max.ms": Int = "100", AtLeast(0), High, ReadOnly, Accepted,
        "How long the broker goes on trying to add a partition to a transaction.";
    "add.partitions.to.txn.retry.backoff.ms": Int = "20", AtLeast(1), High, ReadOnly, Accepted,
        "Pause before adding a partition to a transaction is tried again.";
    "producer.id.expiration.check.interval.ms": Int = "600000", AtLeast(1), Low, ReadOnly, Accepted,
        "How often expired producer ids are looked for.";
    "producer.id.expiration.ms": Int = "86400000", AtLeast(1), Low, ClusterWide, Honoured,
        "How long a partition remembers an idempotent producer that is silent.";
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": Int = "10000", AtLeast(1), Low, ReadOnly, Accepted,
        "How often transactions past their timeout are looked for.";
    "transaction.max.timeout.ms": Int = "900000", AtLeast(1), High, ReadOnly, Accepted,
        "Longest timeout a transactional producer may ask for.";
    "transaction.partition.verification.enable": Boolean = "true", Any, Low, ClusterWide, Accepted,
        "Check that a partition was added to the transaction before writing to it.";
    "transaction.remove.expired.transaction.cleanup.interval.ms": Int = "3600000", AtLeast(1), Low, ReadOnly, Accepted,
        "How often expired transactional ids are removed.";
    "transaction.state.log.load.buffer.size": Int = "5242880", AtLeast(1), High, ReadOnly, Accepted,
        "Bytes read at once when transaction state is loaded.";
    "transaction.state.log.min.isr": Int = "2", AtLeast(1), High, ReadOnly, Accepted,
        "min.insync.replicas of the transaction state topic.";
    "transaction.state.log.num.partitions": Int = "50", AtLeast(1), High, ReadOnly, Accepted,
        "Partitions of the transaction state topic.";
    "transaction.state.log.replication.factor": Short = "3", AtLeast(1), High, ReadOnly, Accepted,
        "Replicas of the transaction state topic.";
    "transaction.state.log.segment.bytes": Int = "104857600", AtLeast(1), High, ReadOnly, Accepted,
        "Segment size of the transaction state topic.";
    "transaction.two.phase.commit.enable": Boolean = "false", Any, Low, ReadOnly, Accepted,
        "Let an outside coordinator decide the end of a transaction.";
    "transactional.id.expiration.ms": Int = "604800000", AtLeast(1), High, ReadOnly, Accepted,
        "How long a transactional id without transactions is remembered.";
}
