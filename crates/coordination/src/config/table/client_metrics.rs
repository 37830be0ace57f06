//! Keys of a subscription to client metrics.

use crate::config::definition::configs;

configs! {
    /// Keys of a subscription to client metrics.
    CLIENT_METRICS in ClientMetrics;

    "interval.ms": Int = "300000", Between(100, 3_600_000), Medium, Resource, Accepted,
        "How often the clients of this subscription push metrics.";
    "match": List = "", DistinctList, Medium, Resource, Accepted,
        "Which clients this subscription is for: `client_id=pattern` and the like.";
    "metrics": List = "", DistinctList, Medium, Resource, Accepted,
        "Name prefixes of the metrics this subscription asks for.";
}
