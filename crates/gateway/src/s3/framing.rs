//! Bodies in pieces (`aws-chunked`) end with a piece of no bytes. The library takes the end of the
//! body for one, too; so what was cut off between two pieces would pass where its length does.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use hyper::body::{Frame, SizeHint};

/// The body of a request, that must come to its last piece if it comes in pieces.
pub(super) fn whole(headers: &HeaderMap, body: Body) -> s3s::Body {
    let kind = headers.get("x-amz-content-sha256").map(|value| value.as_bytes());
    match kind.is_some_and(|kind| kind.starts_with(b"STREAMING-")) {
        true => s3s::Body::http_body_unsync(Framed { body, place: Place::default() }),
        false => s3s::Body::http_body_unsync(body),
    }
}

/// Where in the framing what came so far ends. What is malformed is the library's to refuse.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// In the size of a piece.
    Size { digits: u32, bytes: u64 },
    /// In what stands behind the size.
    Signature { bytes: u64 },
    /// In a piece, or the end of its line.
    Piece { left: u64 },
    /// Behind the line of the last piece.
    Last,
    /// No size stood where one must.
    Malformed,
}

impl Default for Place {
    fn default() -> Self {
        Self::Size { digits: 0, bytes: 0 }
    }
}

/// Behind each piece stands the end of a line.
const LINE_END_BYTES: u64 = 2;

impl Place {
    /// Where it is after these bytes.
    fn after(mut self, mut bytes: &[u8]) -> Self {
        while let Some((first, rest)) = bytes.split_first() {
            self = match self {
                Self::Piece { left } => {
                    let taken = left.min(bytes.len() as u64);
                    bytes = bytes.get(taken as usize..).unwrap_or_default();
                    self = match left - taken {
                        0 => Self::default(),
                        left => Self::Piece { left },
                    };
                    continue;
                }
                Self::Size { digits, bytes } => match (*first as char).to_digit(16) {
                    Some(digit) => Self::Size {
                        digits: digits.saturating_add(1),
                        bytes: bytes.saturating_mul(16).saturating_add(digit.into()),
                    },
                    None if digits == 0 => Self::Malformed,
                    None => Self::Signature { bytes }.at(*first),
                },
                Self::Signature { .. } => self.at(*first),
                Self::Last | Self::Malformed => return self,
            };
            bytes = rest;
        }
        self
    }

    /// Behind the size, at one byte more.
    fn at(self, byte: u8) -> Self {
        match self {
            Self::Signature { bytes: 0 } if byte == b'\n' => Self::Last,
            Self::Signature { bytes } if byte == b'\n' => {
                Self::Piece { left: bytes.saturating_add(LINE_END_BYTES) }
            }
            other => other,
        }
    }
}

struct Framed {
    body: Body,
    place: Place,
}

impl hyper::body::Body for Framed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    self.place = self.place.after(bytes);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => Some(Err(error.into())),
            None if self.place == Place::Last => None,
            None => Some(Err("the last piece of the body is missing".into())),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.place == Place::Last && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
