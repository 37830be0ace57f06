//! The decisions of a cluster, as pure state machines: no I/O, no clock, no randomness that is not passed in.
//!
//! | module | what it holds |
//! |---|---|
//! | [`metadata`] | the cluster image and the only commands that change it: brokers, topics, elections, configs |
//! | [`group`] | consumer groups and the offsets they remember |
//! | [`config`] | the table of configs: names, types, defaults, ranges, and what they come to |
//! | [`shard`] | the life of one partition of a coordinator: decide, append, apply, park, load again |
//!
//! ```
//! use ottla_coordination::metadata::{Command, FormCluster, Image, Response};
//! use ottla_record::{ClusterId, Uuid};
//!
//! let mut image = Image::empty();
//! let cluster = ClusterId(Uuid::from_random([7; 16]));
//! let response = image.apply(&Command::FormCluster(FormCluster { cluster }));
//! assert_eq!(response, Response::FormCluster(Ok(cluster)));
//! assert_eq!(image.cluster_id(), Some(cluster));
//! ```

pub mod config;
pub mod group;
pub mod metadata;
pub mod shard;
