//! Hearing a server that answers before it has read all that we send.
//!
//! HTTP/1.1 lets a server refuse an upload in the middle: it answers and closes
//! the connection. A client that only writes then gets a broken pipe in place
//! of the reason. Here a write that fails so is taken as a sign that there is
//! an answer: the rest of the body is dropped, and the answer is read.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Whether the server has stopped reading. One upload runs at a time.
#[derive(Clone, Debug, Default)]
pub struct Answered(Arc<AtomicBool>);

impl Answered {
    /// `body`, which ends when the server has stopped reading.
    pub fn stop<'a>(&self, body: &'a mut dyn Read) -> impl Read + use<'a> {
        self.set(false);
        Until { body, answered: self.clone() }
    }

    fn set(&self, value: bool) {
        self.0.store(value, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct Until<'a> {
    body: &'a mut dyn Read,
    answered: Answered,
}

impl Read for Until<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.answered.get() { Ok(0) } else { self.body.read(out) }
    }
}

/// Wraps the transport that the connector before it made.
#[derive(Debug)]
pub struct EarlyAnswer {
    answered: Answered,
}

impl EarlyAnswer {
    /// Tells `answered`.
    pub fn new(answered: Answered) -> Self {
        Self { answered }
    }
}

impl<In: Transport> Connector<In> for EarlyAnswer {
    type Out = Listening<In>;

    fn connect(
        &self,
        _details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, Error> {
        let answered = self.answered.clone();
        Ok(chained.map(|inner| Listening { inner, answered, deaf: false }))
    }
}

/// A transport on which a peer that stopped reading is no error.
#[derive(Debug)]
pub struct Listening<T> {
    inner: T,
    answered: Answered,
    /// The peer reads no more.
    deaf: bool,
}

impl<T: Transport> Transport for Listening<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.deaf {
            return Ok(());
        }
        match self.inner.transmit_output(amount, timeout) {
            Err(Error::Io(error)) if stopped_reading(&error) => {
                self.deaf = true;
                self.answered.set(true);
                Ok(())
            }
            other => other,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        !self.deaf && self.inner.is_open()
    }
}

fn stopped_reading(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
    )
}
