//! Kafka's messages and coordinator records at every version of Apache Kafka 4.3.
//!
//! | module | what it holds |
//! |---|---|
//! | [`messages`] | one module per message, generated from `schema/` by `build/`: plain structs with all fields of all versions |
//! | [`codec`] | [`Reader`] and [`Writer`]: bounded decoding, file ranges as [`Hole`]s; the traits [`Message`] and [`Request`] |
//! | [`api_key`] | [`ApiKey`]: versions, flexible versions, header versions |
//! | [`error_code`] | [`ErrorCode`] with Kafka's names |
//! | [`frame`] | whole requests and responses: header, body, length |
//! | [`cluster_metadata`] | the records of Kafka's cluster metadata that an import reads |
//! | [`records`] | the records of the coordinators' topics: which type, which version, key and value |
//! | [`tree`] | what lies in files as trees of named fields, to be shown |
//!
//! ```
//! use bytes::Bytes;
//! use ottla_wire::messages::{MetadataRequest, ResponseHeader, MetadataResponse};
//! use ottla_wire::{Message, Reader, Writer, frame};
//!
//! // A client asks for all topics …
//! let mut writer = Writer::new();
//! frame::write_request(&mut writer, 7, Some("example"), &MetadataRequest { topics: None, ..Default::default() }, 12)?;
//! let (sent, _) = writer.into_parts();
//!
//! // … and a broker reads the frame without its length,
//! let mut reader = Reader::new(Bytes::from(sent).slice(4..));
//! let (header, api) = frame::read_request_header(&mut reader)?;
//! let request = MetadataRequest::decode(&mut reader, header.request_api_version)?;
//! assert_eq!(request.topics, None);
//!
//! // and answers.
//! let response = MetadataResponse { controller_id: 1, ..Default::default() };
//! let mut writer = Writer::new();
//! frame::write_response(&mut writer, api, header.request_api_version, header.correlation_id, &response)?;
//! assert_eq!(writer.frame_len(), writer.written().len() as u64);
//! # Ok::<(), ottla_wire::Error>(())
//! ```

pub mod api_key;
pub mod cluster_metadata;
pub mod codec;
pub mod error_code;
pub mod frame;
pub mod messages;
pub mod records;
pub mod tree;

pub use api_key::ApiKey;
pub use codec::{Error, Hole, Message, Reader, Records, Request, Writer};
pub use error_code::ErrorCode;
pub use tree::{ToTree, Tree};
