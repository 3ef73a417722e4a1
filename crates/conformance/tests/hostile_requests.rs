//! Requests to S3 and Swift that no honest client sends: each is refused with a reason, within a
//! time, and leaves nothing behind that anybody can see.

use anyhow::{Context, Result, ensure};
use archipelago_conformance::site::Site;
use archipelago_conformance::wire::script;

/// What unfinished uploads may leave once they are collected: nodes of maps, copies of the catalog,
/// segments rounded up.
const LEFT_BYTES_MAX: u64 = 4 << 20;

/// What the server may not say of itself.
const BLAME: [&str; 2] = ["ERROR", "panicked"];

/// Runs a script as the user `bob`, who has the bucket `box`. Whatever it did, the server is well:
/// it answers, found no defect of its own, and stops cleanly.
fn told(text: &str) -> Result<()> {
    let site = site()?;
    bucket(&site)?;
    script(&site, "bob", text)?.run()?;
    well(site)
}

fn site() -> Result<Site> {
    let site = Site::new()?;
    site.cli.command(&["user", "create", "bob"]).input("correct horse").run()?;
    Ok(site)
}

fn bucket(site: &Site) -> Result<()> {
    script(site, "bob", r#"check(s3("PUT", "/box"), 200)"#)?.run().map(drop)
}

fn well(site: Site) -> Result<()> {
    site.cli.run(&["status"])?;
    let printed = site.daemon.printed();
    let bad = printed.lines().find(|line| BLAME.iter().any(|word| line.contains(word)));
    ensure!(bad.is_none(), "the server blames itself: {}", bad.unwrap_or_default());
    site.daemon.stop().context("it does not stop cleanly")
}

#[test]
fn what_is_not_signed_rightly_is_refused_and_does_nothing() -> Result<()> {
    told(
        r#"
body = b"forged"
digest = hashlib.sha256(body).hexdigest()
check(s3("PUT", "/box/o", body, Signer(secret="wrong")), 403, "SignatureDoesNotMatch")
check(s3("PUT", "/box/o", body, Signer(key="AKIANOBODY0000000000")), 403, "InvalidAccessKeyId")
good = Signer().headers("PUT", "/box/o", digest, {})
good["Content-Length"] = len(body)

def changed(method="PUT", target="/box/o", body=body, **more):
    headers = {**good, **{name.replace("_", "-"): value for name, value in more.items()}}
    return ask(method, target, headers, body)

check(changed(target="/box/other"), 403, "SignatureDoesNotMatch")
check(changed(target="/box/o?acl="), 403, "SignatureDoesNotMatch")
check(changed(method="DELETE", body=b""), 403)
check(changed(host="elsewhere"), 403, "SignatureDoesNotMatch")
check(changed(body=b"FORGED"), 400, "XAmzContentSHA256Mismatch")
check(changed(x_amz_content_sha256=hashlib.sha256(b"FORGED").hexdigest(), body=b"FORGED"), 403)
check(changed(Authorization=good["Authorization"][:-1]), 403)
check(changed(Authorization=good["Authorization"] + "0"), 403)
for nonsense in ["AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
        "AWS4-HMAC-SHA256 " + "," * 1000, "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request",
        "AWS4-HMAC-SHA512 x", "AWS x:y", "AWS4", good["Authorization"].replace("s3", "iam"),
        good["Authorization"].replace("SignedHeaders=host;", "SignedHeaders=")]:
    answer = changed(Authorization=nonsense)
    assert answer.status in (400, 403, 501), (nonsense, answer)
check(changed(x_amz_date="yesterday"), 400)
check(changed(x_amz_content_sha256="nonsense"), 403)
gone("/box/o")
"#,
    )
}

#[test]
fn clocks_that_are_off_by_more_than_a_quarter_of_an_hour_are_told_so() -> Result<()> {
    told(
        r#"
for minutes in (-16, 16, -60 * 24, 60 * 24 * 365):
    late = Signer(skew=60 * minutes)
    check(s3("PUT", "/box/o", b"x", late), 403, "RequestTimeTooSkewed")
gone("/box/o")
for minutes in (-14, 14):
    check(s3("PUT", "/box/o", b"x", Signer(skew=60 * minutes)), 200)
"#,
    )
}

#[test]
fn bodies_that_are_signed_in_pieces_hold_word_by_word() -> Result<()> {
    told(
        r#"
def put(pieces, said, spoil=lambda framed: framed, end=True, payload=STREAMED, close=True, **more):
    signer = Signer()
    more = {name.replace("_", "-"): str(value) for name, value in more.items()}
    headers = signer.headers("PUT", "/box/o", payload,
        {"x-amz-decoded-content-length": str(said), "content-encoding": "aws-chunked", **more})
    framed = b"".join(signer.chunk(piece) for piece in pieces)
    framed = spoil(framed + (signer.chunk(b"") if end else b""))
    headers["Content-Length"] = len(framed)
    return ask("PUT", "/box/o", headers, framed)

one, two = b"a" * 70000, b"b" * 3000
size = len(one) + len(two)
def refused(*what, **how):
    answer = put(*what, **how)
    assert answer is not None and answer.status in (400, 403, 411), answer
    gone("/box/o")
    return answer

mark = b"chunk-signature="
def wrong(framed):
    at = framed.index(mark, 1000) + len(mark)
    return framed[:at] + (b"0" if framed[at:at + 1] != b"0" else b"1") + framed[at + 1:]
check(refused([one, two], size, wrong), 403, "SignatureDoesNotMatch")
check(refused([one, two], size, lambda framed: framed.replace(b"aaa", b"aab", 1)), 403)
refused([one, two], size, end=False)
refused([one, two], size, lambda framed: framed[:-5])
refused([one, two], size, lambda framed: framed[:len(framed) // 2])
refused([one, two], size - 1)
refused([one, two], size + 1)
refused([one, two], 0)
refused([one, two], -1)
refused([one, two], "many")
refused([one, two], 1 << 62)
refused([one], size, lambda framed: b"ffffffffffffffff;" + framed.split(b";", 1)[1])
refused([one], size, lambda framed: b"fffffffffffffffffffffffff;" + framed.split(b";", 1)[1])
refused([one], size, lambda framed: b"-1;" + framed.split(b";", 1)[1])
refused([one], size, lambda framed: b"0" * 100000 + framed)
refused([one], size, lambda framed: framed.replace(b"\r\n", b"\n\n"))
refused([one], size, lambda framed: b"\r\n" * 1000 + framed)
refused([one], size, lambda framed: b"x" * len(framed))
refused([one], size, lambda framed: framed.replace(b";" + mark, b";ext=" + b"y" * 100000 + b";" + mark))
refused([], 1, lambda framed: b"")
# Nothing of another request may be within.
refused([one], len(one), lambda framed: framed + b"GET / HTTP/1.1\r\n\r\n")
check(put([one, two], size), 200)
got = check(s3("GET", "/box/o"), 200)
assert got.body == one + two

# With a checksum behind it, which is not that of the content.
check(s3("DELETE", "/box/o"), 204)
def trailed(check_value, name="x-amz-checksum-crc32", length=5):
    headers = Signer().headers("PUT", "/box/o", UNSIGNED, {"x-amz-decoded-content-length": str(length),
        "content-encoding": "aws-chunked", "x-amz-trailer": "x-amz-checksum-crc32"})
    framed = b"5\r\nhello\r\n0\r\n%s:%s\r\n\r\n" % (name.encode(), check_value)
    headers["Content-Length"] = len(framed)
    return ask("PUT", "/box/o", headers, framed)
for value, name in [(b"AAAAAA==", "x-amz-checksum-crc32"), (b"nonsense", "x-amz-checksum-crc32"),
        (b"NhCmhg==", "x-amz-checksum-sha1"), (b"", "x-amz-checksum-crc32")]:
    answer = trailed(value, name)
    assert answer.status == 400, (value, answer)
    gone("/box/o")
check(trailed(b"NhCmhg==", length=4), 400)
gone("/box/o")
check(trailed(b"NhCmhg=="), 200)
"#,
    )
}

#[test]
fn lengths_that_lie_make_nothing() -> Result<()> {
    told(
        r#"
body = b"x" * 5000
digest = hashlib.sha256(body).hexdigest()
def wire(length, sent, payload=digest, more={}):
    headers = Signer().headers("PUT", "/box/o", payload, {})
    headers.update({"Content-Length": length} if length is not None else {})
    headers.update(more)
    return Wire().send(head_of("PUT", "/box/o", headers) + sent)

# More is said than comes.
answer = wire(5001, body).end().answer()
assert answer is None or answer.status == 400, answer
gone("/box/o")
answer = wire(5001, body, "UNSIGNED-PAYLOAD").end().answer()
assert answer is None or answer.status == 400, answer
gone("/box/o")
# Less is said: what is over is no part of it, and no request either.
door = wire(4999, body)
check(door.answer(), 400, "XAmzContentSHA256Mismatch")
answer = door.end().answer()
assert answer is None or answer.status == 400, answer
gone("/box/o")
# Nothing is said.
answer = wire(None, b"").answer()
assert answer.status in (400, 411), answer
gone("/box/o")
for nonsense in ["-1", "many", "99999999999999999999999999", "0x10", "5, 6", ""]:
    answer = wire(nonsense, body).answer()
    assert answer is None or answer.status in (400, 411), (nonsense, answer)
    gone("/box/o")
# Above what an object may have.
check(wire(str((64 << 40) + 1), b"", "UNSIGNED-PAYLOAD").answer(), 400, "EntityTooLarge")
# Two lengths, or a length and a coding: the classic of smuggling.
answer = wire("5000", body, more={"content-length": "4"}).answer()
assert answer is None or answer.status == 400, answer
headers = {"Transfer-Encoding": "chunked"}
door = wire("5000", b"0\r\n\r\nGET /box/smuggled HTTP/1.1\r\n\r\n", more=headers)
answer = door.answer()
assert answer is None or 400 <= answer.status < 500, answer
gone("/box/o")
"#,
    )
}

#[test]
fn content_that_is_not_what_was_announced_is_refused() -> Result<()> {
    told(
        r#"
import base64, zlib
body = b"some content"
def sum(algorithm, of):
    return base64.b64encode(hashlib.new(algorithm, of).digest()).decode()
crc = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
other = base64.b64encode(zlib.crc32(b"other").to_bytes(4, "big")).decode()
check(s3("PUT", "/box/o", body, content_md5=sum("md5", b"other")), 400, "BadDigest")
check(s3("PUT", "/box/o", body, content_md5="nonsense"), 400, "InvalidDigest")
check(s3("PUT", "/box/o", body, x_amz_checksum_crc32=other), 400, "BadDigest")
check(s3("PUT", "/box/o", body, x_amz_checksum_sha256=sum("sha256", b"other")), 400, "BadDigest")
check(s3("PUT", "/box/o", body, x_amz_checksum_sha1=sum("sha1", b"other")), 400, "BadDigest")
check(s3("PUT", "/box/o", body, x_amz_checksum_crc32="nonsense"), 400)
check(s3("PUT", "/box/o", body, payload=hashlib.sha256(b"other").hexdigest()), 400)
gone("/box/o")
check(s3("PUT", "/box/o", body, content_md5=sum("md5", body), x_amz_checksum_crc32=crc), 200)
# A part is no better, and an old object stays when the new one is refused.
check(s3("PUT", "/box/o", b"new content!", content_md5=sum("md5", b"other")), 400, "BadDigest")
assert check(s3("GET", "/box/o"), 200).body == body
begun = check(s3("POST", "/box/parts?uploads="), 200).body.decode()
upload = begun.split("<UploadId>")[1].split("</UploadId>")[0]
part = "/box/parts?partNumber=1&uploadId=" + upload
check(s3("PUT", part, body, content_md5=sum("md5", b"other")), 400, "BadDigest")
listed = check(s3("GET", "/box/parts?uploadId=" + upload), 200)
assert b"<PartNumber>" not in listed.body, listed
"#,
    )
}

const SWIFT: &str = r#"
def login(password="correct horse"):
    return ask("GET", "/auth/v1.0", {"Host": HOST, "X-Auth-User": "bob:bob", "X-Auth-Key": password})
check(login("wrong"), 401)
answer = check(login(), 200)
TOKEN, BASE = answer.headers["x-auth-token"], answer.headers["x-storage-url"].split(HOST)[1]
def swift(method, path, body=b"", **more):
    headers = {"Host": HOST, "X-Auth-Token": TOKEN, "Content-Length": len(body)}
    headers.update({name.replace("_", "-"): value for name, value in more.items()})
    headers = {name: value for name, value in headers.items() if value is not None}
    return ask(method, BASE + path, headers, body)
def empty():
    listed = swift("GET", "/cont?format=json")
    assert check(listed, 200).body == b"[]", listed
assert swift("PUT", "/cont").status in (201, 202)
"#;

const SWIFT_LIES: &str = r#"
for token in ["", "AUTH_tk0", TOKEN[:-1], TOKEN + "0", "x" * 5000]:
    check(swift("PUT", "/cont/o", b"x", X_Auth_Token=token), 401)
body = b"some content"
check(swift("PUT", "/cont/o", body, ETag=hashlib.md5(b"other").hexdigest()), 422)
check(swift("PUT", "/cont/o", body, ETag="nonsense"), 422)
check(swift("PUT", "/cont/o", body, Content_Length=None), 411)
for length in ["-1", "many", "99999999999999999999999"]:
    answer = swift("PUT", "/cont/o", body, Content_Length=length)
    assert answer is None or answer.status == 400, (length, answer)
check(swift("PUT", "/cont/o", b"", Content_Length=(64 << 40) + 1), 413)
head = head_of("PUT", BASE + "/cont/o",
    {"Host": HOST, "X-Auth-Token": TOKEN, "Content-Length": len(body) + 1})
answer = Wire().send(head + body).end().answer()
assert answer is None or answer.status in (408, 499, 400), answer
# Chunks of HTTP that are none, or that end in the middle.
head = head_of("PUT", BASE + "/cont/o",
    {"Host": HOST, "X-Auth-Token": TOKEN, "Transfer-Encoding": "chunked"})
for framed in [b"5\r\nhel", b"5\r\nhello\r\n", b"nonsense\r\n", b"ffffffffffffffffff\r\nx",
        b"-5\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n"]:
    answer = Wire().send(head + framed).end().answer()
    assert answer is None or 400 <= answer.status < 500, (framed, answer)
empty()
name = "n" * 1025
check(swift("PUT", "/cont/" + name, b"x"), 400)
check(swift("PUT", "/cont/o", b"x", X_Object_Meta_A="v" * 257), 400)
many = {"X_Object_Meta_N%d" % number: "v" for number in range(91)}
check(swift("PUT", "/cont/o", b"x", **many), 400)
empty()
"#;

#[test]
fn lies_to_swift_are_refused_and_leave_nothing() -> Result<()> {
    told(&format!("{SWIFT}{SWIFT_LIES}"))
}

#[test]
fn heads_that_are_too_large_are_refused_at_once() -> Result<()> {
    told(
        r#"
def plain(target="/box/o", lines="", method="GET"):
    text = "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (method, target, HOST, lines)
    return Wire().send(text.encode()).answer()
for method in ("GET", "PUT"):
    for target, lines in [("/" + "a" * (1 << 20), ""), ("/box/o?x=" + "a" * (1 << 20), ""),
            ("/box/o", "X-Long: " + "a" * (1 << 20) + "\r\n"),
            ("/box/o", "".join("X-%d: y\r\n" % number for number in range(5000))),
            ("/box/o", "x" * (1 << 20)), ("/box/o", "X-Bad\0: y\r\n"), ("/box/o", "X: a\0b\r\n")]:
        answer = plain(target, lines, method)
        assert answer is None or answer.status in (400, 414, 431), (target[:9], lines[:9], answer)
answer = Wire().send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 100).answer()
assert answer is None or answer.status == 400, answer
answer = Wire().send(b"GET / HTTP/9.9\r\n\r\n").answer()
assert answer is None or answer.status in (400, 505), answer
check(s3("PUT", "/box/" + "k" * 1025, b"x"), 400, "KeyTooLongError")
check(s3("PUT", "/box/o", b"x", x_amz_meta_long="v" * 3000), 400, "MetadataTooLarge")
large = b"<Delete>" + b" " * (5 << 20) + b"</Delete>"
check(s3("POST", "/box?delete=", large), 400, "MaxMessageLengthExceeded")
deep = b"<a>" * 100000
check(s3("PUT", "/box?tagging=", deep), 400, "MalformedXML")
bomb = b'<!DOCTYPE x [<!ENTITY a "' + b"b" * 1000 + b'"><!ENTITY c "' + b"&a;" * 1000 + b'">]><Tagging>&c;</Tagging>'
check(s3("PUT", "/box?tagging=", bomb), 400, "MalformedXML")
gone("/box/o")
"#,
    )
}

#[test]
fn an_upload_that_breaks_off_is_not_there_and_its_space_comes_back() -> Result<()> {
    let site = site()?;
    bucket(&site)?;
    site.cli.run(&["gc", "--now"])?;
    let before = site.cli.figure("physical")?;
    let breaks = r#"
import os
half = os.urandom(12 << 20)
headers = Signer().headers("PUT", "/box/o", "UNSIGNED-PAYLOAD", {})
headers["Content-Length"] = 2 * len(half)
Wire().send(head_of("PUT", "/box/o", headers) + half).socket.close()
begun = check(s3("POST", "/box/parts?uploads="), 200).body.decode()
upload = begun.split("<UploadId>")[1].split("</UploadId>")[0]
target = "/box/parts?partNumber=1&uploadId=" + upload
headers = Signer().headers("PUT", target, "UNSIGNED-PAYLOAD", {})
headers["Content-Length"] = 2 * len(half)
Wire().send(head_of("PUT", target, headers) + half).socket.close()
check(swift("PUT", "/cont/x", b"x"), 201)
check(swift("DELETE", "/cont/x"), 204)
head = head_of("PUT", BASE + "/cont/o",
    {"Host": HOST, "X-Auth-Token": TOKEN, "Transfer-Encoding": "chunked"})
Wire().send(head + b"%x\r\n" % len(half) + half + b"\r\n").socket.close()
gone("/box/o")
empty()
listed = check(s3("GET", "/box/parts?uploadId=" + upload), 200)
assert b"<PartNumber>" not in listed.body, listed
check(s3("DELETE", "/box/parts?uploadId=" + upload), 204)
"#;
    script(&site, "bob", &format!("{SWIFT}{breaks}"))?.run()?;
    site.cli.run(&["gc", "--now"])?;
    let left = site.cli.figure("physical")?.saturating_sub(before);
    ensure!(left < LEFT_BYTES_MAX, "{left} bytes are left of uploads that broke off");
    well(site)
}

#[test]
fn more_connections_than_there_may_be_wait_for_a_place() -> Result<()> {
    told(
        r#"
import resource
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
idle = [Wire() for _ in range(512)]
# A request that is begun takes a place; one more waits, in the line of the system.
for wire in idle:
    wire.send(b"GET /healthz HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n")
late = Wire().send(b"GET /healthz HTTP/1.1\r\nHost: " + HOST.encode() + b"\r\n\r\n")
late.socket.settimeout(0.5)
try:
    assert not late.more(), "it did not wait"
except TimeoutError:
    pass
late.socket.settimeout(PATIENCE)
idle.pop().socket.close()
check(late.answer(), 200)
# Those that waited are answered, too, when they go on.
for wire in idle:
    check(wire.send(b"\r\n").answer(), 200)
"#,
    )
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() -> Result<()> {
    told(
        r#"
def says(answer, code, word):
    assert answer.code() == code and word in (answer.message() or ""), answer
    assert "<RequestId>" in answer.body.decode(), answer
says(s3("PUT", "/UP"), "InvalidBucketName", "3 to 63")
says(s3("GET", "/nobody-has-this"), "NoSuchBucket", "bucket")
says(s3("GET", "/box/none"), "NoSuchKey", "key")
says(s3("PUT", "/box/" + "k" * 1025, b"x"), "KeyTooLongError", "1024")
says(s3("PUT", "/box/o", b"x", Signer(secret="wrong")), "SignatureDoesNotMatch", "secret key")
says(s3("PUT", "/box/o", b"x", Signer(skew=1000)), "RequestTimeTooSkewed", "Set the clock")
says(s3("GET", "/box?policy="), "NoSuchBucketPolicy", "policy")
says(s3("GET", "/box?tagging="), "NoSuchTagSet", "tags")
says(s3("GET", "/box?lifecycle="), "NoSuchLifecycleConfiguration", "lifecycle")
says(s3("PUT", "/box?tagging=", b"<no"), "MalformedXML", "well formed")
check(s3("PUT", "/box/o", b"x"), 200)
says(s3("GET", "/box/o", Range="bytes=5-6"), "InvalidRange", "behind the end")
says(s3("GET", "/box/o", If_Match='"no"'), "PreconditionFailed", "condition")
"#,
    )
}
