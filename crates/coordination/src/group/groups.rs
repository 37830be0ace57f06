//! The coordinator of one partition of `__consumer_offsets`: all its groups, and their offsets.

use ottla_record::{Monotonic, Now};

use super::record::Record;
use super::request::Request;
use super::response::{GroupError, Response};
use super::settings::GroupSettings;
use crate::metadata::Image;
use crate::shard::{Machine, Step};

/// All groups of one partition.
#[derive(Debug)]
pub struct Groups<W> {
    settings: GroupSettings,
    parked: Vec<W>,
}

impl<W> Groups<W> {
    /// A partition without groups.
    pub fn new(settings: GroupSettings) -> Self {
        Self { settings, parked: Vec::new() }
    }

    /// Its settings.
    pub fn settings(&self) -> &GroupSettings {
        &self.settings
    }
}

impl<W> Machine for Groups<W> {
    type Waiter = W;
    type Request = Request;
    type Response = Response;
    type Record = Record;

    fn handle(&mut self, waiter: W, request: Request, _image: &Image, _now: Now) -> Step<Self> {
        let not_found =
            |group: &super::GroupId| GroupError::GroupIdNotFound(format!("Group {group} not found."));
        Step::reply(
            waiter,
            match request {
                Request::Join(_) => Response::Join(Err(GroupError::UnsupportedVersion)),
                Request::Sync(_) => Response::Sync(Err(GroupError::UnknownMemberId)),
                Request::Heartbeat(_) => Response::Heartbeat(Err(GroupError::UnknownMemberId)),
                Request::Leave(_) => Response::Leave(Err(GroupError::UnknownMemberId)),
                Request::CommitOffsets(_) => Response::CommitOffsets(Err(GroupError::UnsupportedVersion)),
                Request::FetchOffsets(_) => Response::FetchOffsets(Ok(Vec::new())),
                Request::DeleteOffsets(request) => Response::DeleteOffsets(Err(not_found(&request.group))),
                Request::List(_) => Response::List(Vec::new()),
                Request::Describe(request) => Response::Describe(
                    request
                        .groups
                        .into_iter()
                        .map(|group| {
                            let error = not_found(&group);
                            (group, Err(error))
                        })
                        .collect(),
                ),
                Request::Delete(request) => Response::Delete(
                    request
                        .groups
                        .into_iter()
                        .map(|group| {
                            let error = not_found(&group);
                            (group, Err(error))
                        })
                        .collect(),
                ),
                Request::ConsumerHeartbeat(_) => {
                    Response::ConsumerHeartbeat(Err(GroupError::UnsupportedVersion))
                }
                Request::DescribeConsumer(request) => Response::DescribeConsumer(
                    request
                        .groups
                        .into_iter()
                        .map(|group| {
                            let error = not_found(&group);
                            (group, Err(error))
                        })
                        .collect(),
                ),
            },
        )
    }

    fn apply(&mut self, _record: &Record, _now: Now) {}

    fn loaded(&mut self, _image: &Image, _now: Now) {}

    fn tick(&mut self, _image: &Image, _now: Now) -> Step<Self> {
        Step::none()
    }

    fn next_deadline(&self) -> Option<Monotonic> {
        None
    }

    fn dissolve(self) -> Vec<W> {
        self.parked
    }
}
