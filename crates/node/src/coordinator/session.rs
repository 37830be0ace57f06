//! The session that a coordinator answers in.
//!
//! Whoever cannot reach the controller for a session is fenced, and others coordinate its groups. It may be the last to hear of
//! that, so it looks at its own clock. Produce with `acks=all` and fetch need no such limit: epochs and in-sync sets keep them safe.

use std::time::Duration;

use crate::ports::MetadataPlane;

/// How long a session still goes on that is this old; `None` if it is over, or has not begun.
fn left(age: Option<Duration>, session: Duration) -> Option<Duration> {
    let left = session.checked_sub(age?)?;
    (!left.is_zero()).then_some(left)
}

/// This broker's session with the controller.
#[derive(Clone, Copy)]
pub(crate) struct Session<'a> {
    metadata: &'a dyn MetadataPlane,
    /// `broker.session.timeout.ms`
    timeout: Duration,
}

impl<'a> Session<'a> {
    pub(crate) fn new(metadata: &'a dyn MetadataPlane, timeout: Duration) -> Self {
        Self { metadata, timeout }
    }

    /// True if it goes on.
    pub(crate) fn is_open(self) -> bool {
        self.left().is_some()
    }

    /// Returns when it is over.
    pub(crate) async fn over(self) {
        while let Some(left) = self.left() {
            tokio::time::sleep(left).await;
        }
    }

    fn left(self) -> Option<Duration> {
        left(self.metadata.session_age(), self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_over_when_it_is_as_old_as_its_timeout() {
        let ms = Duration::from_millis;
        let cases = [
            (Some(0), Some(1_500)),
            (Some(300), Some(1_200)),
            (Some(1_499), Some(1)),
            (Some(1_500), None),
            (Some(60_000), None),
            // The controller has never answered.
            (None, None),
        ];
        for (age, expected) in cases {
            assert_eq!(left(age.map(ms), ms(1_500)), expected.map(ms), "at an age of {age:?}");
        }
    }
}
