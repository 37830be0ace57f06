//! What must hold of any frame that claims to be a request. The fuzz target of the same name runs this too.

use std::fmt::Debug;

use bytes::Bytes;
use ottla_wire::messages::*;
use ottla_wire::{ApiKey, Error, Message, Reader, Writer, for_each_api, frame};

/// Reads a request as a broker does. What can be read can be written again and then reads the same.
pub fn check(bytes: &[u8]) {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes));
    let Ok((header, api)) = frame::read_request_header(&mut reader) else { return };
    let version = header.request_api_version;
    macro_rules! dispatch {
        ($($api:ident $request:ident $response:ident;)*) => {
            match api {
                $(ApiKey::$api => read_again::<$request>(reader, version),)*
            }
        };
    }
    for_each_api!(dispatch);
}

fn read_again<M: Message + Debug>(mut reader: Reader, version: i16) {
    let Ok(message) = M::decode(&mut reader, version) else { return };
    let first = match written(&message, version) {
        // What is not UTF-8 grows when it is replaced.
        Err(Error::StringTooLong(_)) => return,
        written => written.expect("what was read can be written"),
    };
    let again = M::decode(&mut Reader::new(first.clone()), version).expect("what was written can be read");
    // By their text, because a float that is no number differs from itself.
    assert_eq!(format!("{again:?}"), format!("{message:?}"));
    assert_eq!(written(&again, version), Ok(first));
}

fn written<M: Message>(message: &M, version: i16) -> Result<Bytes, Error> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version)?;
    Ok(writer.into_parts().0.into())
}
