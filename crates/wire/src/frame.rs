//! Whole requests and responses: the header that goes with the body, and the length in front of both.

use crate::messages::{RequestHeader, ResponseHeader};
use crate::{ApiKey, Error, Message, Reader, Request, Writer};

/// The length in front of every frame, in bytes.
pub const LENGTH_PREFIX: usize = 4;

/// Reads the header of a request; the body follows in `reader`, at version `request_api_version`.
///
/// Kafka's rules (KIP-482): the header's own version follows from the API and the version asked for, which are its first
/// fields in every version. A version above the known ones is not an error here, so that ApiVersions can be answered with
/// what is supported (do not decode its body then); the caller compares it with [`ApiKey::versions`].
///
/// # Errors
/// The key is of no API a broker serves, or the bytes are no header: the connection cannot be understood and is closed.
pub fn read_request_header(reader: &mut Reader) -> Result<(RequestHeader, ApiKey), Error> {
    let mut start = reader.clone();
    let code = start.i16()?;
    let version = start.i16()?;
    let api = ApiKey::from_code(code).ok_or(Error::UnknownApi(code))?;
    let header = RequestHeader::decode(reader, api.request_header_version(version))?;
    Ok((header, api))
}

/// Writes length, header and body of a request.
///
/// # Errors
/// The body has a value that `version` cannot carry; `writer` is then as before.
pub fn write_request<R: Request>(
    writer: &mut Writer,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
    version: i16,
) -> Result<(), Error> {
    let header = RequestHeader {
        request_api_key: R::API.code(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    framed(writer, |writer| {
        header.encode(writer, R::API.request_header_version(version))?;
        request.encode(writer, version)
    })
}

/// Reads the header of a response to `api` at `version` and returns its correlation id; the body follows in `reader`.
///
/// # Errors
/// The bytes are no header.
pub fn read_response_header(reader: &mut Reader, api: ApiKey, version: i16) -> Result<i32, Error> {
    Ok(ResponseHeader::decode(reader, api.response_header_version(version))?.correlation_id)
}

/// Writes length, header and body of a response.
///
/// # Errors
/// The body has a value that `version` cannot carry; `writer` is then as before.
pub fn write_response<M: Message>(
    writer: &mut Writer,
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<(), Error> {
    framed(writer, |writer| {
        ResponseHeader { correlation_id }.encode(writer, api.response_header_version(version))?;
        response.encode(writer, version)
    })
}

fn framed(writer: &mut Writer, write: impl FnOnce(&mut Writer) -> Result<(), Error>) -> Result<(), Error> {
    let frame = writer.begin_frame();
    match write(writer) {
        Ok(()) => writer.finish_frame(frame),
        Err(error) => {
            writer.abandon(frame);
            Err(error)
        }
    }
}
