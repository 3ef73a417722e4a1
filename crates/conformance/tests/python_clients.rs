//! Objects by the libraries of Python that programs are written with: boto3 and openstacksdk.

use anyhow::{Context, Result, ensure};
use archipelago_conformance::daemon::Options;
use archipelago_conformance::program::{Program, python};
use archipelago_conformance::site::Site;

const PASSWORD: &str = "correct horse";

/// Content by seed and length, and a client that nothing of this machine configures. Names below
/// localhost are loopback, whatever this machine's resolver says of them.
const BOTO3: &str = r#"
import hashlib, os, random, socket, sys, urllib.request
import boto3
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import ClientError

plain = socket.getaddrinfo
def resolve(host, *more, **named):
    return plain("127.0.0.1" if host.endswith("localhost") else host, *more, **named)
socket.getaddrinfo = resolve

def client(style):
    return boto3.client("s3", endpoint_url=sys.argv[1], region_name="us-east-1",
        config=Config(signature_version="s3v4", s3={"addressing_style": style}))

def content(seed, size):
    return random.Random(seed).randbytes(size)

def refused(call, code):
    try:
        call()
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise AssertionError("not refused: " + code)
"#;

const OBJECTS: &str = r#"
s3 = client("path")
s3.create_bucket(Bucket="box")
small, big = content(1, 1000), content(2, 12 << 20)
put = s3.put_object(Bucket="box", Key="a b/\u00fc+%", Body=small, ContentType="text/plain",
    Metadata={"color": "red"})
assert put["ETag"].strip('"') == hashlib.md5(small).hexdigest()
got = s3.get_object(Bucket="box", Key="a b/\u00fc+%")
assert got["Body"].read() == small and got["Metadata"] == {"color": "red"}
assert s3.get_object(Bucket="box", Key="a b/\u00fc+%", Range="bytes=10-19")["Body"].read() == small[10:20]
refused(lambda: s3.get_object(Bucket="box", Key="a b/\u00fc+%", IfMatch='"no"'), "PreconditionFailed")

open("big", "wb").write(big)
parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
s3.upload_file("big", "box", "big", Config=parts)
s3.download_file("box", "big", "back", Config=parts)
assert open("back", "rb").read() == big
assert s3.head_object(Bucket="box", Key="big")["ETag"].endswith('-3"')

url = s3.generate_presigned_url("get_object", Params={"Bucket": "box", "Key": "big"}, ExpiresIn=60)
assert urllib.request.urlopen(url).read() == big
url = s3.generate_presigned_url("put_object", Params={"Bucket": "box", "Key": "sent"}, ExpiresIn=60)
urllib.request.urlopen(urllib.request.Request(url, data=small, method="PUT"))

for number in range(25):
    s3.put_object(Bucket="box", Key="many/%02d/x" % number, Body=b"x")
pages = s3.get_paginator("list_objects_v2").paginate(Bucket="box", Prefix="many/", Delimiter="/",
    PaginationConfig={"PageSize": 10})
names = [one["Prefix"] for page in pages for one in page["CommonPrefixes"]]
assert names == ["many/%02d/" % number for number in range(25)], names
keys = [one["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket="box")
    for one in page["Contents"]]
assert len(keys) == 28 and keys == sorted(keys)
gone = s3.delete_objects(Bucket="box", Delete={"Objects": [{"Key": key} for key in keys]})
assert len(gone["Deleted"]) == 28 and "Errors" not in gone
s3.delete_bucket(Bucket="box")
refused(lambda: s3.list_objects_v2(Bucket="box"), "NoSuchBucket")
"#;

const VERSIONS: &str = r#"
import datetime
s3 = client("path")
s3.create_bucket(Bucket="kept", ObjectLockEnabledForBucket=True)
first = s3.put_object(Bucket="kept", Key="f", Body=b"one")["VersionId"]
second = s3.put_object(Bucket="kept", Key="f", Body=b"two")["VersionId"]
marker = s3.delete_object(Bucket="kept", Key="f")
assert marker["DeleteMarker"]
refused(lambda: s3.get_object(Bucket="kept", Key="f"), "NoSuchKey")
assert s3.get_object(Bucket="kept", Key="f", VersionId=first)["Body"].read() == b"one"
listed = s3.list_object_versions(Bucket="kept")
assert [one["VersionId"] for one in listed["Versions"]] == [second, first]
assert [one["VersionId"] for one in listed["DeleteMarkers"]] == [marker["VersionId"]]
s3.delete_object(Bucket="kept", Key="f", VersionId=marker["VersionId"])
assert s3.get_object(Bucket="kept", Key="f")["Body"].read() == b"two"

until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
s3.put_object_retention(Bucket="kept", Key="f", VersionId=first,
    Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until})
refused(lambda: s3.delete_object(Bucket="kept", Key="f", VersionId=first), "AccessDenied")
s3.put_object_legal_hold(Bucket="kept", Key="f", VersionId=second, LegalHold={"Status": "ON"})
refused(lambda: s3.delete_object(Bucket="kept", Key="f", VersionId=second), "AccessDenied")
s3.put_object_legal_hold(Bucket="kept", Key="f", VersionId=second, LegalHold={"Status": "OFF"})
s3.delete_object(Bucket="kept", Key="f", VersionId=second)
assert s3.get_object(Bucket="kept", Key="f")["Body"].read() == b"one"
"#;

const HOSTS: &str = r#"
s3 = client("virtual")
bytes = content(3, 3000)
s3.create_bucket(Bucket="box")
s3.put_object(Bucket="box", Key="dir/f", Body=bytes)
assert s3.meta.endpoint_url.split(":")[1] == "//localhost"
url = s3.generate_presigned_url("get_object", Params={"Bucket": "box", "Key": "dir/f"})
assert url.startswith("http://box.localhost:"), url
assert urllib.request.urlopen(url).read() == bytes
assert [one["Key"] for one in s3.list_objects_v2(Bucket="box")["Contents"]] == ["dir/f"]
# One place, whichever way it is named.
assert client("path").get_object(Bucket="box", Key="dir/f")["Body"].read() == bytes
s3.delete_object(Bucket="box", Key="dir/f")
s3.delete_bucket(Bucket="box")
"#;

const OPENSTACK: &str = r#"
import hashlib, hmac, random, sys, time, urllib.error, urllib.request
import openstack

cloud = openstack.connect(auth_url=sys.argv[1] + "/identity/v3", username="bob",
    password=sys.argv[2], project_name="bob", user_domain_name="Default",
    project_domain_name="Default")
store = cloud.object_store
small, big = b"small", random.Random(5).randbytes(5 << 20)

store.create_container(name="box")
store.set_container_metadata("box", color="red")
# This version of the library looks for names of headers in upper case, which S3's may not have.
assert store.head(store.get_endpoint() + "/box").headers["X-Container-Meta-Color"] == "red"
store.upload_object(container="box", name="a b/\u00fc+%", data=small)
assert store.download_object("a b/\u00fc+%", container="box") == small
store.set_object_metadata("a b/\u00fc+%", container="box", kind="text")
path = store.get_endpoint() + "/box/a%20b/%C3%BC%2B%25"
assert store.head(path).headers["X-Object-Meta-Kind"] == "text"

open("big", "wb").write(big)
for large in ["static", "dynamic"]:
    cloud.create_object("box", large, "big", segment_size=1 << 20, use_slo=large == "static")
    assert store.download_object(large, container="box") == big, large
names = sorted(one.name for one in store.objects("box"))
assert names[0] == "a b/\u00fc+%" and {"static", "dynamic"} <= set(names), names

store.set_account_temp_url_key("secret")
path = store.get_endpoint() + "/box/static"
signed = store.generate_temp_url("/" + path.split("/", 3)[3], 60, "GET")
host = "/".join(path.split("/", 3)[:3])
assert urllib.request.urlopen(host + signed).read() == big
try:
    urllib.request.urlopen(host + signed.replace("temp_url_sig=", "temp_url_sig=0"))
except urllib.error.HTTPError as error:
    assert error.code == 401
else:
    raise AssertionError("a wrong signature")

for container in [one.name for one in store.containers()]:
    for one in list(store.objects(container)):
        store.delete_object(one, container=container)
    store.delete_container(container)
assert list(store.containers()) == []
"#;

struct Bob {
    site: Site,
    id: String,
    secret: String,
}

impl Bob {
    fn new(options: &[&str]) -> Result<Self> {
        let site = Site::with(&|data| Options::new(data).args(options))?;
        site.cli.command(&["user", "create", "bob"]).input(PASSWORD).run()?;
        let key = site.cli.json(&["user", "key", "create", "bob"])?;
        let text = |name: &str| key[name].as_str().map(str::to_owned).context("no key");
        let (id, secret) = (text("id")?, text("secret")?);
        Ok(Self { site, id, secret })
    }

    fn boto3(&self, script: &str, endpoint: &str) -> Result<Program> {
        let nowhere = self.site.text("no-such-file");
        Ok(python("boto3", &format!("{BOTO3}{script}"), &[endpoint])?
            .env("AWS_ACCESS_KEY_ID", &self.id)
            .env("AWS_SECRET_ACCESS_KEY", &self.secret)
            .env("AWS_CONFIG_FILE", &nowhere)
            .env("AWS_SHARED_CREDENTIALS_FILE", &nowhere)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .folder(self.site.path("data").parent().context("no folder")?))
    }
}

#[test]
fn boto3_puts_gets_lists_signs_and_removes() -> Result<()> {
    let bob = Bob::new(&[])?;
    bob.boto3(OBJECTS, bob.site.daemon.http())?.run()?;
    Ok(())
}

#[test]
fn boto3_keeps_versions_and_locks_them() -> Result<()> {
    let bob = Bob::new(&[])?;
    bob.boto3(VERSIONS, bob.site.daemon.http())?.run()?;
    Ok(())
}

#[test]
fn boto3_names_buckets_in_front_of_the_host() -> Result<()> {
    let bob = Bob::new(&["--s3-domain", "localhost"])?;
    let endpoint = bob.site.daemon.http().replace("127.0.0.1", "localhost");
    bob.boto3(HOSTS, &endpoint)?.run()?;
    // What was not said to be a domain is nobody's.
    let plain = Bob::new(&[])?;
    let endpoint = plain.site.daemon.http().replace("127.0.0.1", "localhost");
    plain.boto3(HOSTS, &endpoint)?.fails()?;
    Ok(())
}

#[test]
fn openstacksdk_keeps_objects_small_and_large_and_signs_urls() -> Result<()> {
    let bob = Bob::new(&[])?;
    let script = python("openstack", OPENSTACK, &[bob.site.daemon.http(), PASSWORD])?;
    let folder = bob.site.path("data");
    let said = script.folder(folder.parent().context("no folder")?).run()?;
    ensure!(said.text().is_empty(), "{}", said.text());
    Ok(())
}
