//! What the doors of files take and give: containers, versions of objects, uploads in
//! parts.

use std::collections::BTreeMap;

use archipelago_model::{AccountId, ContainerName, FileId, ObjectName};
use serde::{Deserialize, Serialize};

use crate::grant::{Grant, Publish, Share};
use crate::seal::Seal;

/// Whether a container keeps what is replaced and removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Versioning {
    /// It does not, and never did.
    #[default]
    Off,
    /// Every write makes a version with an id of its own.
    Enabled,
    /// It did: versions with ids stay, writes replace the one that has none.
    Suspended,
}

/// A setting of a container, under the name that stores have had for it since S3 was the only door
/// that knows it: whose what others put there is, as a list of one word.
pub const OWNERSHIP: &str = "s3.ownership";
/// Everything in the container is its owner's, and lists of S3 grant nothing.
pub const OWNER_ENFORCED: &str = "BucketOwnerEnforced";

/// A container: a bucket to S3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Container {
    /// Its identity.
    pub id: u64,
    /// Whose it is.
    pub account: AccountId,
    /// Its label, unique in its account.
    pub name: ContainerName,
    /// Whether its name is a bucket's: unique among those of all accounts.
    pub bucket: bool,
    /// Whether it keeps versions.
    pub versioning: Versioning,
    /// What doors keep of it, each under a name of its own; `cors` for one.
    pub settings: BTreeMap<String, String>,
    /// Who but its owner may do what with it and with what is in it.
    pub grants: Vec<Grant>,
    /// Objects, not counting old versions.
    pub objects: u64,
    /// Their sizes together.
    pub bytes: u64,
    /// The sizes of old versions and of parts of uploads.
    pub old_bytes: u64,
    /// How many bytes it may hold in all, old versions and parts too; `None` for no limit.
    pub quota_bytes: Option<u64>,
    /// How many objects it may hold, not counting old versions; `None` for no limit.
    pub quota_objects: Option<u64>,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
}

/// Settings of a container without versions: the container of the same account in which it keeps
/// what is replaced, so that a removal brings back what was before; ...
pub const ARCHIVE_STACK: &str = "archive.stack";
/// ... or that a removal is noted there, too.
pub const ARCHIVE_HISTORY: &str = "archive.history";
/// The type of such a note.
pub const ARCHIVED_MARKER_TYPE: &str = "application/x-deleted;swift_versions_deleted=1";

/// Where a container keeps what is replaced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Archive {
    /// A container of the same account.
    pub container: String,
    /// Whether removals are noted, too, and bring nothing back.
    pub history: bool,
}

impl Container {
    /// What was said of whose objects in it are.
    pub fn ownership(&self) -> Option<String> {
        let said: Vec<String> = serde_json::from_str(self.settings.get(OWNERSHIP)?).ok()?;
        said.into_iter().next()
    }

    /// The account that an object in it belongs to, where that is not the container's.
    pub fn writer_of(&self, object: &Object) -> Option<AccountId> {
        self.writer(object.owner)
    }

    /// The same of the object that an upload will be.
    pub fn writer_of_upload(&self, upload: &Upload) -> Option<AccountId> {
        self.writer(upload.owner)
    }

    fn writer(&self, owner: Option<AccountId>) -> Option<AccountId> {
        let writer = owner.filter(|owner| *owner != self.account)?;
        (self.ownership().as_deref() != Some(OWNER_ENFORCED)).then_some(writer)
    }

    /// Where it keeps what is replaced, unless it keeps versions itself.
    pub fn archive(&self) -> Option<Archive> {
        let at = |name: &str, history| {
            let container = self.settings.get(name)?.clone();
            Some(Archive { container, history })
        };
        let archive = at(ARCHIVE_STACK, false).or_else(|| at(ARCHIVE_HISTORY, true));
        archive.filter(|_| self.versioning == Versioning::Off)
    }
}

/// What is known of an object besides its content.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// Headers that go out with it as they came: `content-type`, `cache-control`...
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What the user keeps with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub user: BTreeMap<String, String>,
    /// Labels that can be changed.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Checksums in base64, by their names in headers: `crc32c`...
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub checksums: BTreeMap<String, String>,
    /// Of an object that came in parts: their sizes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<u64>,
    /// What doors keep of it, each under a name of its own.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// Who but its owner may do what with this very version.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
    /// With whom the name is shared from this version on; nothing leaves that as it is. It is
    /// done in the transaction that puts the version, and not kept with it.
    #[serde(skip)]
    pub share: Option<Box<Share>>,
    /// Whether the name has a public link from this version on, likewise.
    #[serde(skip)]
    pub publish: Option<Box<Publish>>,
}

/// A setting of an object, under the name that stores have had for it since Swift was the only
/// door that knows it: when it ends, in seconds since 1970.
pub const DELETE_AT: &str = "swift.delete-at";

/// A setting of what is kept in an archive: when it was replaced or removed, in ms since 1970.
pub(crate) const ARCHIVED_AT: &str = "archive.at-ms";

impl Meta {
    /// About how many bytes it takes in memory.
    fn held_bytes(&self) -> usize {
        let maps = [&self.headers, &self.user, &self.tags, &self.checksums, &self.settings];
        let texts = maps.iter().flat_map(|map| map.iter());
        texts.map(|(name, value)| ENTRY_BYTES + name.len() + value.len()).sum::<usize>()
            + size_of_val(self.parts.as_slice())
            + size_of_val(self.grants.as_slice())
    }

    /// When it ends by its own wish, in ms since 1970.
    pub fn ends_ms(&self) -> Option<u64> {
        let seconds: u64 = self.settings.get(DELETE_AT)?.parse().ok()?;
        Some(seconds.saturating_mul(1000))
    }
}

/// What two texts of a map take besides what is in them.
const ENTRY_BYTES: usize = 96;

impl Object {
    /// About how many bytes it takes in memory, but for what each takes.
    pub fn held_bytes(&self) -> usize {
        self.name.as_str().len() + self.meta.held_bytes()
    }

    /// Whether it has ended by its own wish: nobody finds it any more, though it may not have
    /// been removed yet.
    pub fn has_ended(&self, now_ms: u64) -> bool {
        self.meta.ends_ms().is_some_and(|at| at <= now_ms)
    }

    /// The same of what was asked for so: the object ends, and a version that is kept is found by
    /// its id until it is removed.
    pub fn has_ended_as(&self, which: Which, now_ms: u64) -> bool {
        let kept = self.versioned && matches!(which, Which::Version(_));
        !kept && self.has_ended(now_ms)
    }
}

/// A version of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Object {
    /// Its identity: greater ones of one name are newer.
    pub id: FileId,
    /// Its name.
    pub name: ObjectName,
    /// Whether it has a version id: its identity then.
    pub versioned: bool,
    /// Whether it is the newest of its name.
    pub latest: bool,
    /// Whether it only says that the object was removed.
    pub marker: bool,
    /// Exact, in bytes.
    pub size: u64,
    /// MD5 in hexadecimal; of an object in parts, what S3 makes of theirs. `None` when it
    /// came by a door that knows of no MD5.
    pub etag: Option<String>,
    /// The rest.
    pub meta: Meta,
    /// When it was made, in ms since 1970.
    pub created_ms: u64,
    /// How its content is encrypted, if it is.
    pub seal: Option<Seal>,
    /// The account that wrote it and that it belongs to; `None` when it is the container's.
    /// [`Container::writer_of`] says what counts.
    pub owner: Option<AccountId>,
}

impl Object {
    /// What tells versions apart to clients of HTTP: the MD5 where it is known, else one of the
    /// identity, whose form says that it is no MD5.
    pub fn entity_tag(&self) -> String {
        self.etag.clone().unwrap_or_else(|| format!("{:032x}-1", self.id.get()))
    }

    /// Since when it is where it is: in an archive, since it came there. What somebody replaced
    /// by mistake is not older for having been made long ago.
    pub(crate) fn here_since_ms(&self) -> u64 {
        let archived = self.meta.settings.get(ARCHIVED_AT).and_then(|at| at.parse().ok());
        archived.unwrap_or(0).max(self.created_ms)
    }

    /// Whether it only notes in an archive that something was removed.
    pub fn is_archived_marker(&self) -> bool {
        let kind = self.meta.headers.get("content-type");
        kind.is_some_and(|kind| kind == ARCHIVED_MARKER_TYPE) && self.size == 0
    }
}

/// Which version of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Which {
    /// The newest.
    #[default]
    Latest,
    /// The one without a version id.
    Unversioned,
    /// This one.
    Version(FileId),
}

/// What a listing shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listing {
    /// Names begin with this.
    pub prefix: String,
    /// Names that have this behind the prefix are shown as one, up to and with it.
    pub delimiter: Option<String>,
    /// Names behind this one.
    pub after: Option<String>,
    /// Of the name [`Self::after`], versions older than this one, too.
    pub after_version: Option<FileId>,
    /// So many at most, names and prefixes together.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// By name; versions of one name newest first.
    pub items: Vec<T>,
    /// By name.
    pub prefixes: Vec<String>,
    /// Where the next page goes on; `None` at the end.
    pub next: Option<(String, Option<FileId>)>,
}

/// An upload in parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upload {
    /// Its identity, as clients know it.
    pub uuid: String,
    /// The object to be.
    pub object: ObjectName,
    /// What is known of that.
    pub meta: Meta,
    /// When it began, in ms since 1970.
    pub created_ms: u64,
    /// How its parts are encrypted, if they are.
    pub seal: Option<Seal>,
    /// The account that the object will belong to; `None` when it will be the container's.
    pub owner: Option<AccountId>,
}

impl Upload {
    /// About how many bytes it takes in memory, but for what each takes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.object.as_str().len() + self.meta.held_bytes()
    }
}

/// A part of an upload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// Its place among the others; the gaps between numbers mean nothing.
    pub number: u32,
    /// In bytes.
    pub size: u64,
    /// MD5 in hexadecimal.
    pub etag: String,
    /// Checksums in base64, by their names in headers.
    pub checksums: BTreeMap<String, String>,
    /// When it came, in ms since 1970.
    pub created_ms: u64,
}

/// How names are walked through.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Walk {
    /// Names begin with this.
    pub prefix: String,
    /// Names that have this behind the prefix are shown as one, up to and with it.
    pub delimiter: Option<String>,
    /// Names behind this one, in the direction of the walk.
    pub marker: Option<String>,
    /// Names before this one, in the direction of the walk.
    pub end: Option<String>,
    /// From the last to the first.
    pub reverse: bool,
    /// As in a folder: no prefixes are shown, but names that end where one would, and the
    /// prefix itself is no name of it.
    pub flat: bool,
    /// So many at most, names and prefixes together.
    pub limit: usize,
}

/// What one walk, or one page of a listing, holds in memory of what it found, at most, as
/// [`Object::held_bytes`] counts: it ends there, and goes on behind. Ten thousand names of 1024
/// bytes with a type of some hundreds are less, so that where only these are held a page is full.
pub const PAGE_BYTES_MAX: usize = 16 << 20;

/// What a walk found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walked<T> {
    /// In the direction of the walk.
    pub steps: Vec<Step<T>>,
    /// Whether it ended since it held enough, and there may be more behind the last step. Then
    /// there is a last step, unless the walk was to have none.
    pub more: bool,
}

/// What a walk meets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step<T> {
    /// This.
    Item(T),
    /// Names that begin so.
    Prefix(String),
}

/// Names between two others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Stretch {
    /// This or greater.
    pub from: String,
    /// Whether it may be `from` itself.
    pub inclusive: bool,
    /// Less than this.
    pub below: Option<String>,
    /// From the last to the first.
    pub reverse: bool,
}

impl Stretch {
    /// All names.
    pub const fn all() -> Self {
        Self { from: String::new(), inclusive: true, below: None, reverse: false }
    }

    /// Conditions and order on a column, where `$2` is [`Self::from`] and `$3`
    /// [`Self::below`].
    pub fn sql(&self, column: &str) -> String {
        let sign = if self.inclusive { ">=" } else { ">" };
        // A condition that is always there would keep the index from being entered at its end.
        let below = match &self.below {
            Some(_) => format!("{column} < $3"),
            None => "$3 IS NULL".to_owned(),
        };
        let order = if self.reverse { "DESC" } else { "ASC" };
        format!("{column} {sign} $2 AND {below} ORDER BY {column} {order}")
    }
}

/// What containers hold together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// How many there are.
    pub containers: u64,
    /// Objects, not counting old versions.
    pub objects: u64,
    /// Their sizes together.
    pub bytes: u64,
}
