//! Objects of a container that keeps versions, as clients of S3 and Swift have them: put,
//! copied, removed with a marker or for good, uploaded in parts; updated in [`super::updates`].

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use archipelago_model::{AccountId, ObjectName};
use archipelago_pool::{
    CopySource, Error, ErrorKind, Listing, Meta, Object, Service, UploadAt, Versioning, Which,
};
use md5::{Digest, Md5};

use super::content::{bytes_of, compose};
use super::model::{Bytes, Model, Names, Shelved};
use super::names::{SHELF, parse};
use super::{Act, Checked, Violation, World};

/// Blocks of an object or a part, at most.
const BLOCKS_MAX: u64 = 24;
/// Parts of an upload have numbers up to this.
const PARTS: u64 = 4;
/// More than a listing ever shows here.
const ALL: usize = 10_000;

/// The account that has the container: that of the command line.
pub(super) const OWNER: AccountId = AccountId::new(0);

/// Asks the service; it may be asked in the middle of its other work.
type Call = Box<dyn FnOnce(&Service) -> Result<(), Error> + Send>;

/// What a client does with one object.
pub(super) struct ObjectAct {
    pub kind: &'static str,
    pub name: String,
    pub refusal: Option<ErrorKind>,
    pub after: Box<dyn FnOnce(&mut Model)>,
    pub call: Call,
}

impl World {
    /// One act of a client.
    pub(super) fn use_object(&mut self) -> Checked {
        self.object_act().map_or(Ok(()), |planned| self.act_on(planned))
    }

    /// Something to do with an object that is not in doubt.
    pub(super) fn object_act(&mut self) -> Option<ObjectAct> {
        let name = self.any_object_name()?;
        let known = self.model.objects.get(&name).cloned().unwrap_or_default();
        match (self.dice.below(24), known.upload) {
            (0..=2, _) => Some(self.put_object(name)),
            (3..=4, _) => self.copy_object(name),
            (5, _) => Some(remove_object(name)),
            (6, _) => self.remove_version(name, known.versions.len()),
            (7..=10, _) => Some(self.update_object(name)),
            (_, None) => Some(begin_upload(name)),
            (_, Some(parts)) => Some(self.go_on_with(name, parts)),
        }
    }

    /// The next act of an upload.
    fn go_on_with(&mut self, name: String, parts: BTreeMap<u32, Bytes>) -> ObjectAct {
        if self.dice.coin() || (parts.is_empty() && self.dice.coin()) {
            let number = 1 + self.dice.below(PARTS) as u32;
            return self.put_part(name, number);
        }
        match self.dice.below(4) {
            0 => abort_upload(name),
            _ => complete_upload(name, parts.into_iter().collect()),
        }
    }

    /// Bytes of any number.
    pub(super) fn some_bytes(&mut self) -> Bytes {
        self.operation += 1;
        let blocks = 1 + self.dice.below(BLOCKS_MAX);
        let mut bytes = bytes_of(&compose(&mut self.dice, self.operation, blocks));
        if self.dice.coin() {
            bytes.truncate(bytes.len() - self.dice.below(4096) as usize);
        }
        Arc::new(bytes)
    }

    fn put_object(&mut self, name: String) -> ObjectAct {
        let bytes = self.some_bytes();
        let announced = self.dice.coin().then_some(bytes.len() as u64);
        let (object, sent) = (name.clone(), Arc::clone(&bytes));
        let call = move |service: &Service| {
            let shelf = shelf(service)?;
            let finish = &mut |_: &_| Ok(Meta::default());
            let (name, mut input) = (parse(&object)?, &sent[..]);
            service.object_put(shelf, &name, announced, &mut input, finish, &any).map(drop)
        };
        act("put object", name, None, |known| known.versions.push(Some(bytes)), call)
    }

    fn copy_object(&mut self, name: String) -> Option<ObjectAct> {
        let from = self.any_object_name()?;
        let versions = self.model.objects.get(&from).map_or(&[][..], |known| &known.versions);
        // Now and then one that is not there.
        let number = self.dice.below(versions.len() as u64 + 1) as usize;
        let bytes = versions.get(number).cloned().flatten();
        let object = name.clone();
        let refusal = bytes.is_none().then_some(ErrorKind::NotFound);
        let call = move |service: &Service| {
            let container = shelf(service)?;
            let from: ObjectName = parse(&from)?;
            let which = Which::Version(version(service, container, &from, number)?.id);
            let source = CopySource { container, name: from, which };
            let finish = &mut |_: &Object| Ok(Meta::default());
            service.object_copy(&source, container, &parse(&object)?, finish, &any).map(drop)
        };
        Some(act("copy object", name, refusal, |known| known.versions.push(bytes), call))
    }

    fn remove_version(&mut self, name: String, versions: usize) -> Option<ObjectAct> {
        let number = self.dice.below(versions.max(1) as u64) as usize;
        if number >= versions {
            return None;
        }
        let object = name.clone();
        let call = move |service: &Service| {
            let shelf = shelf(service)?;
            let name: ObjectName = parse(&object)?;
            let which = Which::Version(version(service, shelf, &name, number)?.id);
            service.object_remove(shelf, &name, which, &any).map(drop)
        };
        let after = move |known: &mut Shelved| drop(known.versions.remove(number));
        Some(act("remove version", name, None, after, call))
    }

    fn put_part(&mut self, name: String, number: u32) -> ObjectAct {
        let bytes = self.some_bytes();
        let (object, sent) = (name.clone(), Arc::clone(&bytes));
        let call = move |service: &Service| {
            with_upload(service, &object, |at| {
                let finish = &mut |_: &_| Ok(Default::default());
                service.upload_part(at, number, None, &mut &sent[..], finish).map(drop)
            })
        };
        let after = move |known: &mut Shelved| {
            known.upload.get_or_insert_default().insert(number, bytes);
        };
        act("put part", name, None, after, call)
    }

    /// Every version of everything is as it was written, by each way that shows it.
    pub(super) fn check_objects(&mut self) -> Checked {
        let service = self.service()?;
        let all: Vec<(String, Shelved)> =
            self.model.objects.iter().map(|(name, one)| (name.clone(), one.clone())).collect();
        for (name, known) in all {
            let wrong = self.look("look at object", || wrong_object(&service, &name, &known))?;
            if let Some(Some(what)) = wrong {
                return Err(Violation::new(what));
            }
        }
        Ok(())
    }

    /// Objects of which no byte, or not all, can be read for damage.
    pub(super) fn unreadable_objects(&mut self, service: &Service) -> Checked<Vec<String>> {
        let mut out = Vec::new();
        for (name, known) in self.model.objects.clone() {
            match wrong_object(service, &name, &known) {
                Ok(None) => {}
                Ok(Some(what)) => return Err(Violation::new(what)),
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    out.push(format!("file:{SHELF}/{name}"));
                }
                Err(error) => self.explain("look at object", &name, &error)?,
            }
        }
        Ok(out)
    }

    /// Removes all objects and uploads.
    pub(super) fn empty_shelf(&mut self) -> Checked {
        for (name, known) in self.model.objects.clone() {
            if known.upload.is_some() {
                self.act_on(abort_upload(name.clone()))?;
            }
            for _ in &known.versions {
                if let Some(act) = self.remove_version(name.clone(), 1) {
                    self.act_on(act)?;
                }
            }
        }
        Ok(())
    }

    fn act_on(&mut self, planned: ObjectAct) -> Checked {
        let ObjectAct { kind, name, refusal, after, call } = planned;
        let act = Act { kind, subject: &name, refusal, names: Names::object(&name) };
        self.verb(act, after, call).map(drop)
    }
}

pub(super) fn act(
    kind: &'static str,
    name: String,
    refusal: Option<ErrorKind>,
    after: impl FnOnce(&mut Shelved) + 'static,
    call: impl FnOnce(&Service) -> Result<(), Error> + Send + 'static,
) -> ObjectAct {
    let object = name.clone();
    let after = Box::new(move |model: &mut Model| model.change_object(&object, after));
    ObjectAct { kind, name, refusal, after, call: Box::new(call) }
}

fn remove_object(name: String) -> ObjectAct {
    let object = name.clone();
    let call = move |service: &Service| {
        service.object_remove(shelf(service)?, &parse(&object)?, Which::Latest, &any).map(drop)
    };
    act("remove object", name, None, |known| known.versions.push(None), call)
}

fn begin_upload(name: String) -> ObjectAct {
    let object = name.clone();
    let call = move |service: &Service| {
        service.upload_create(shelf(service)?, &parse(&object)?, Meta::default()).map(drop)
    };
    act("begin upload", name, None, |known| known.upload = Some(Default::default()), call)
}

fn complete_upload(name: String, parts: Vec<(u32, Bytes)>) -> ObjectAct {
    let (object, refusal) = (name.clone(), parts.is_empty().then_some(ErrorKind::Invalid));
    let whole: Vec<u8> = parts.iter().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
    let wanted: Vec<(u32, String)> =
        parts.iter().map(|(number, bytes)| (*number, md5(bytes))).collect();
    let call = move |service: &Service| {
        with_upload(service, &object, |at| {
            let finish = &mut |_: &_, _: &[_]| Ok(Meta::default());
            service.upload_complete(at, &wanted, finish, &any).map(drop)
        })
    };
    let after = move |known: &mut Shelved| {
        known.upload = None;
        known.versions.push(Some(Arc::new(whole)));
    };
    act("complete upload", name, refusal, after, call)
}

fn abort_upload(name: String) -> ObjectAct {
    let object = name.clone();
    let call =
        move |service: &Service| with_upload(service, &object, |at| service.upload_abort(at));
    act("abort upload", name, None, |known| known.upload = None, call)
}

/// Nobody minds what a write replaces.
fn any(_: Option<&Object>) -> Result<(), Error> {
    Ok(())
}

fn md5(bytes: &[u8]) -> String {
    hex::encode(Md5::digest(bytes))
}

/// The container, made by whoever needs it first. Whether it is there is no promise: an empty
/// one is as good as none.
pub(super) fn shelf(service: &Service) -> Result<u64, Error> {
    let name = parse(SHELF)?;
    let found = match service.container(OWNER, &name) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            service.container_create(OWNER, &name)?
        }
        found => found?,
    };
    if found.versioning != Versioning::Enabled {
        service.container_change(found.id, &mut |container| {
            container.versioning = Versioning::Enabled;
            Ok(())
        })?;
    }
    Ok(found.id)
}

/// The versions of an object, oldest first.
fn versions(service: &Service, shelf: u64, name: &ObjectName) -> Result<Vec<Object>, Error> {
    let listing = Listing { prefix: name.to_string(), limit: ALL, ..Listing::default() };
    let mut items = service.versions(shelf, &listing)?.items;
    items.retain(|object| object.name == *name);
    items.reverse();
    Ok(items)
}

pub(super) fn version(
    service: &Service,
    shelf: u64,
    name: &ObjectName,
    number: usize,
) -> Result<Object, Error> {
    let found = versions(service, shelf, name)?.into_iter().nth(number);
    found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{name} has no version {number}")))
}

fn with_upload(
    service: &Service,
    object: &str,
    call: impl FnOnce(UploadAt<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let (container, name) = (shelf(service)?, parse(object)?);
    let listing = Listing { prefix: object.to_owned(), limit: ALL, ..Listing::default() };
    let uploads = service.uploads(container, &listing, None)?.items;
    let upload = uploads.into_iter().find(|upload| upload.object == name);
    let upload = upload.ok_or_else(|| Error::new(ErrorKind::NotFound, "no upload is under way"))?;
    call(UploadAt { container, name: &name, uuid: &upload.uuid })
}

/// What the service shows of all objects: of each its versions, oldest first, with their
/// sizes (`None` for a marker), and the parts of its upload with theirs.
pub(super) fn shown(service: &Service) -> Result<Vec<(String, ShownObject)>, Error> {
    let shelf = match service.container(OWNER, &parse(SHELF)?) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        found => found?.id,
    };
    let all = Listing { limit: ALL, ..Listing::default() };
    let mut out: Vec<(String, ShownObject)> = Vec::new();
    for object in service.versions(shelf, &all)?.items {
        let name = object.name.to_string();
        if out.last().is_none_or(|(last, _)| *last != name) {
            out.push((name, ShownObject::default()));
        }
        if let Some((_, shown)) = out.last_mut() {
            shown.versions.insert(0, (!object.marker).then_some(object.size));
        }
    }
    for upload in service.uploads(shelf, &all, None)?.items {
        let name = upload.object.to_string();
        let at = UploadAt { container: shelf, name: &upload.object, uuid: &upload.uuid };
        let parts = service.parts(at, 0, ALL)?;
        let parts = Some(parts.into_iter().map(|part| (part.number, part.size)).collect());
        match out.iter_mut().find(|(known, _)| *known == name) {
            Some((_, shown)) => shown.parts = parts,
            None => out.push((name, ShownObject { parts, ..ShownObject::default() })),
        }
    }
    Ok(out)
}

/// Sizes of what is shown under one name.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct ShownObject {
    pub versions: Vec<Option<u64>>,
    pub parts: Option<Vec<(u32, u64)>>,
}

impl ShownObject {
    pub(super) fn of(known: &Shelved) -> Self {
        let size = |bytes: &Bytes| bytes.len() as u64;
        let parts = known.upload.as_ref();
        Self {
            versions: known.versions.iter().map(|one| one.as_ref().map(size)).collect(),
            parts: parts.map(|parts| parts.iter().map(|(n, bytes)| (*n, size(bytes))).collect()),
        }
    }
}

/// What of an object is not as it was written.
pub(super) fn wrong_object(
    service: &Service,
    name: &str,
    known: &Shelved,
) -> Result<Option<String>, Error> {
    let shelf = shelf(service)?;
    let object: ObjectName = parse(name)?;
    let there = versions(service, shelf, &object)?;
    if there.len() != known.versions.len() {
        let counts = (there.len(), known.versions.len());
        return Ok(Some(format!("{name} has {} versions, not {}", counts.0, counts.1)));
    }
    for (number, (found, expected)) in there.iter().zip(&known.versions).enumerate() {
        let Some(expected) = expected else { continue };
        let newest = number + 1 == there.len();
        let which = if newest { Which::Latest } else { Which::Version(found.id) };
        let content = service.object_open(shelf, &object, which)?;
        let mut bytes = Vec::new();
        content.range(0, content.object().size).read_to_end(&mut bytes).map_err(unpacked)?;
        if bytes != **expected {
            return Ok(Some(format!("version {number} of {name} changed")));
        }
        // Of what was updated or came in parts, nobody knows it.
        let known = found.etag.as_ref().filter(|etag| !etag.contains('-'));
        if known.is_some_and(|etag| *etag != md5(expected)) {
            return Ok(Some(format!("version {number} of {name} has the etag of another content")));
        }
    }
    Ok(None)
}

/// The error that a reader wrapped.
fn unpacked(error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::InvalidData => ErrorKind::Damaged,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, error.to_string())
}
