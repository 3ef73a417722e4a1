//! The transmission phase of one connection: takes requests until there are no more.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use crate::crew::Crew;
use crate::dispatch::{Device, Taken};
use crate::failure::Failure;
use crate::handshake::Agreement;
use crate::inbox::{Inbox, Next};
use crate::limits::{BATCH_REQUESTS_MAX, PAYLOAD_BYTES_DRAINED_MAX};
use crate::link::Link;
use crate::proto::request::{Command, Request};
use crate::proto::{Malformed, Outbox, Style};

/// After this many requests that came alone the client is taken for one that waits for each
/// answer; only then slow work is done without help, which saves handing it over but keeps
/// requests that come meanwhile waiting.
const ALONE_STREAK: u32 = 4;

/// How a transmission phase ended.
#[derive(Debug, Error)]
pub(crate) enum Ended {
    #[error("the client disconnected")]
    Disconnected,
    #[error("the client closed the connection without a disconnect request")]
    Closed,
    #[error("the server stops")]
    Stopped,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the connection was lost: {0}")]
    Lost(#[from] io::Error),
}

/// Why no further request of a batch was taken.
enum Rest {
    More,
    Incomplete,
    Large(Request),
    Disconnect,
    Malformed(Malformed),
}

/// Serves the export until the client leaves or the server stops. On return every request taken
/// has been answered.
pub(crate) fn run(link: &Arc<Link>, agreement: Agreement) -> Ended {
    let crew = Crew::new(Arc::clone(&link.hub), link.id);
    let device = Device::new(link, agreement);
    let mut session = Session {
        link,
        device: &device,
        crew: &crew,
        inbox: Inbox::new(),
        out: Outbox::default(),
        streak: 0,
    };
    let ended = session.run();
    crew.finish();
    ended
}

struct Session<'a> {
    link: &'a Arc<Link>,
    device: &'a Arc<Device>,
    crew: &'a Crew,
    inbox: Inbox,
    out: Outbox,
    /// Requests in a row that came alone.
    streak: u32,
}

impl Session<'_> {
    fn run(&mut self) -> Ended {
        loop {
            if self.link.hub.stopping() {
                return Ended::Stopped;
            }
            if let Err(ended) = self.step() {
                return ended;
            }
        }
    }

    /// Does what has arrived, and waits for more when that was all.
    fn step(&mut self) -> Result<(), Ended> {
        let style = self.device.style();
        let (taken, rest) = self.take(style);
        let alone = self.is_alone(taken.len(), &rest);
        if !taken.is_empty() {
            self.device.execute(taken, self.inbox.bytes(), self.crew, alone, &mut self.out);
        }
        match rest {
            Rest::More => Ok(()),
            Rest::Incomplete => match self.inbox.fill(&self.link.stream) {
                Ok(0) if self.link.hub.stopping() => Err(Ended::Stopped),
                Ok(0) => Err(Ended::Closed),
                Ok(_) => Ok(()),
                Err(error) => Err(error.into()),
            },
            Rest::Large(request) => self.large(style, request, alone),
            Rest::Disconnect => Err(Ended::Disconnected),
            Rest::Malformed(malformed) => Err(malformed.into()),
        }
    }

    fn take(&mut self, style: Style) -> (Vec<Taken>, Rest) {
        let mut taken = Vec::new();
        while taken.len() < BATCH_REQUESTS_MAX {
            match self.inbox.next(style) {
                Ok(Next::Request(request, _)) if request.command == Command::Disconnect => {
                    return (taken, Rest::Disconnect);
                }
                Ok(Next::Request(request, payload)) => {
                    taken.push(Taken { request, payload, token: self.device.token(&request) });
                }
                Ok(Next::Large(request)) => return (taken, Rest::Large(request)),
                Ok(Next::Incomplete) => return (taken, Rest::Incomplete),
                Err(malformed) => return (taken, Rest::Malformed(malformed)),
            }
        }
        (taken, Rest::More)
    }

    fn is_alone(&mut self, taken: usize, rest: &Rest) -> bool {
        let large = usize::from(matches!(rest, Rest::Large(_)));
        match taken + large {
            // Nothing complete has come: that says nothing about the client.
            0 => {}
            1 if self.crew.in_flight() == 0 => self.streak = self.streak.saturating_add(1),
            _ => self.streak = 0,
        }
        self.streak > ALONE_STREAK
    }

    /// Takes the payload of a request that has a long one.
    fn large(&mut self, style: Style, request: Request, alone: bool) -> Result<(), Ended> {
        let token = self.device.token(&request);
        let len = request.payload_len(style);
        if !request.payload_fits(style) {
            token.fail(&mut self.out, &Failure::invalid("the payload is longer than allowed"));
            if len > PAYLOAD_BYTES_DRAINED_MAX {
                self.link.send(&mut self.out);
                return Err(Malformed::Payload(len).into());
            }
            self.inbox.skip(&self.link.stream, len)?;
            self.link.send(&mut self.out);
            return Ok(());
        }
        let Some(mut buffer) = self.link.buffer(len as usize) else {
            return Err(abandon(token, &mut self.out, Ended::Stopped));
        };
        let space = buffer.bytes.space(len as usize);
        if let Err(error) = self.inbox.read_exact(&self.link.stream, space) {
            return Err(abandon(token, &mut self.out, error.into()));
        }
        self.device.execute_large(request, token, buffer, self.crew, alone, &mut self.out);
        Ok(())
    }
}

/// Gives up a request whose payload never came whole: nobody is there to be answered. The answer
/// is made all the same, and never sent.
fn abandon(token: crate::reply::Token, out: &mut Outbox, ended: Ended) -> Ended {
    token.fail(out, &Failure::new(crate::failure::Errno::Io, "the payload never came"));
    out.truncate(0);
    ended
}
