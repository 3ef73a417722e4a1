use std::io::Cursor;

use archipelago_format::stream::{Header, Writer};

use super::*;
use crate::client::Client;
use crate::output::Output;

fn context() -> Context {
    Context {
        client: Client::new("http://127.0.0.1:1".parse().unwrap(), None),
        output: Output::new(false, true),
        env: archipelago_env::Env::real(),
    }
}

fn stream(size: u64) -> Vec<u8> {
    let header = Header { size, ..Header::default() };
    let mut writer = Writer::new(Vec::new(), &header).unwrap();
    writer.data(0, &vec![1; size as usize]).unwrap();
    writer.finish().unwrap()
}

fn local(error: io::Error) -> Failure {
    Failure::local("write")(error)
}

#[test]
fn a_verified_stream_is_copied_as_it_is() {
    let (bytes, mut out) = (stream(8192), Vec::new());
    let copied = copy_verified(&context(), &mut Cursor::new(&bytes), &mut out, local).unwrap();
    assert_eq!((copied, out), (bytes.len() as u64, bytes));
}

#[test]
fn a_stream_that_was_cut_off_is_said_to_be() {
    let bytes = stream(8192);
    let mut short = &bytes[..bytes.len() - 10];
    let failure =
        copy_verified(&context(), &mut short, &mut Vec::new(), local).unwrap_err().to_string();
    assert!(failure.contains("breaks off"), "{failure}");
    assert!(failure.contains("log of `archipelago serve`"), "{failure}");
}

#[test]
fn an_output_that_fails_is_not_blamed_on_the_stream() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bytes = stream(1 << 20);
    let failure = copy_verified(&context(), &mut Cursor::new(&bytes), &mut Full, local);
    assert!(failure.unwrap_err().to_string().contains("cannot write"));
}

#[test]
fn a_file_that_could_not_be_filled_never_appears() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let result = write_whole(&path, false, |out| {
        out.write_all(b"half").unwrap();
        Err(Failure::usage("no"))
    });
    assert!(result.is_err());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_exists_stays_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    let write = |force, text: &'static [u8]| {
        write_whole(&path, force, |out| {
            out.write_all(text).unwrap();
            Ok(text.len() as u64)
        })
    };
    assert_eq!(write(false, b"one").unwrap(), 3);
    assert!(write(false, b"two").unwrap_err().to_string().contains("--force"));
    assert_eq!(fs::read(&path).unwrap(), b"one");
    write(true, b"two").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"two");
}

#[test]
fn a_folder_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    assert!(refuse_existing(dir.path(), true).is_err());
}

#[test]
fn what_the_server_says_wins_over_the_pipe_that_it_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    fs::write(&path, vec![1; 4 << 20]).unwrap();
    let source = open(&context(), &path, image::open_bytes).unwrap();
    let result: Result<()> =
        upload(&context(), source, "storing", |_| Err(Failure::usage("refused")));
    assert_eq!(result.unwrap_err().to_string(), "error: refused");
}

#[test]
fn an_upload_delivers_the_whole_stream() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    fs::write(&path, vec![7; 100_000]).unwrap();
    let source = open(&context(), &path, image::open_bytes).unwrap();
    let size = upload(&context(), source, "storing", |body| {
        let mut reader = Reader::new(body).unwrap();
        while reader.next().unwrap() != Record::End {}
        Ok(reader.header().size)
    });
    assert_eq!(size.unwrap(), 100_000);
}

#[test]
fn a_file_that_fails_is_told_from_a_network_that_fails() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("bad sector"))
        }
    }
    let progress = Progress::new(Output::new(false, true), "x");
    let mut body = Sending::new(Broken, progress, 0);
    assert!(body.read(&mut [0]).is_err());
    assert_eq!(body.failure().unwrap().to_string(), "bad sector");
}

#[test]
fn a_thin_file_is_not_hashed_and_an_ordinary_one_is() {
    let dir = tempfile::tempdir().unwrap();
    let checksum = |name: &str, size: u64| {
        let path = dir.path().join(name);
        File::create(&path).unwrap().set_len(size).unwrap();
        let mut source = open(&context(), &path, image::open_bytes).unwrap();
        sha256(&context(), &path, &mut source).unwrap()
    };
    assert_eq!(checksum("thin", 1 << 40), None);
    assert!(checksum("small", 1 << 20).is_some());
}
