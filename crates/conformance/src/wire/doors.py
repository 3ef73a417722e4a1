# Random acts through every door at once, against a model. Each worker knows exactly what its own
# objects hold, and whatever door it asks next must say so: what was acknowledged by one is there by
# all. Beside that, all workers write one object, whose content only grows in number: nobody reads
# what was older than the newest acknowledged write when the read began.
import os, random, subprocess, threading, traceback
import nbd

PASSWORD, BINARY, NBD, SEED, ACTS = sys.argv[4], sys.argv[5], sys.argv[6], int(sys.argv[7]), int(sys.argv[8])
WORKERS = 4
BOX = "box"
NAMES = ["a", "b c", "deep/er/\u00fc+%", "deep/x", "deep/~'()", "z"]
SIZES = [0, 1, 511, 512, 4096, 4097, 65535, 65536, 65537, 200000, 1500000]

login = ask("GET", "/auth/v1.0", {"Host": HOST, "X-Auth-User": "admin:admin", "X-Auth-Key": PASSWORD})
check(login, 200)
TOKEN, SWIFT = login.headers["x-auth-token"], login.headers["x-storage-url"].split(HOST)[1]
body = json.dumps({"auth": {"passwordCredentials": {"username": "admin", "password": PASSWORD}}}).encode()
access = check(ask("POST", "/identity/v2.0/tokens", {"Host": HOST, "Content-Length": len(body),
    "Content-Type": "application/json"}, body), 200)
access = json.loads(access.body)["access"]
catalogue = [one for one in access["serviceCatalog"] if one["type"] == "object-store"][0]
PITHOS = catalogue["endpoints"][0]["publicURL"].split(HOST)[1] + "/" + access["user"]["id"]

def quoted(text):
    return urllib.parse.quote(text, safe="/~")

def there(answer, *statuses):
    """The answer, or None where there is no such object."""
    assert answer is not None, "hung up without an answer"
    if answer.status == 404:
        return None
    assert answer.status in statuses, answer
    return answer

def content_of(answer):
    return answer and answer.body

class S3:
    def put(self, name, bytes):
        check(s3("PUT", "/%s/%s" % (BOX, quoted(name)), bytes), 200)

    def get(self, name):
        return content_of(there(s3("GET", "/%s/%s" % (BOX, quoted(name))), 200))

    def range(self, name, first, last):
        target = "/%s/%s" % (BOX, quoted(name))
        return content_of(there(s3("GET", target, Range="bytes=%d-%d" % (first, last)), 206))

    def remove(self, name):
        check(s3("DELETE", "/%s/%s" % (BOX, quoted(name))), 204)

    def copy(self, source, name):
        source = "/%s/%s" % (BOX, quoted(source))
        check(s3("PUT", "/%s/%s" % (BOX, quoted(name)), x_amz_copy_source=source), 200)

    def list(self, prefix):
        found, token = [], ""
        while True:
            query = "list-type=2&max-keys=3&prefix=" + urllib.parse.quote(prefix, safe="~") + token
            text = check(s3("GET", "/%s?%s" % (BOX, query)), 200).body.decode()
            for entry in text.split("<Contents>")[1:]:
                name = entry.split("<Key>")[1].split("</Key>")[0].replace("&apos;", "'").replace("&#39;", "'")
                found.append((name, int(entry.split("<Size>")[1].split("</Size>")[0])))
            if "<NextContinuationToken>" not in text:
                return found
            token = text.split("<NextContinuationToken>")[1].split("<")[0]
            token = "&continuation-token=" + urllib.parse.quote(token, safe="~")

class Swift:
    """Swift, and Pithos, which adds to it."""
    def __init__(self, base):
        self.base = base

    def ask(self, method, path, body=b"", **more):
        headers = {"Host": HOST, "X-Auth-Token": TOKEN, "Content-Length": len(body)}
        headers.update({name.replace("_", "-"): value for name, value in more.items()})
        return ask(method, "%s/%s%s" % (self.base, BOX, path), headers, body)

    def put(self, name, bytes):
        check(self.ask("PUT", "/" + quoted(name), bytes, Content_Type="application/x-thing"), 201)

    def get(self, name):
        return content_of(there(self.ask("GET", "/" + quoted(name)), 200))

    def range(self, name, first, last):
        answer = self.ask("GET", "/" + quoted(name), Range="bytes=%d-%d" % (first, last))
        return content_of(there(answer, 206))

    def remove(self, name):
        check(self.ask("DELETE", "/" + quoted(name)), 204)

    def copy(self, source, name):
        answer = self.ask("COPY", "/" + quoted(source), Destination=quoted("/%s/%s" % (BOX, name)))
        check(answer, 201)

    def list(self, prefix):
        found, marker = [], ""
        while True:
            query = "?format=json&limit=3&prefix=%s&marker=%s" % (
                urllib.parse.quote(prefix), urllib.parse.quote(marker))
            page = json.loads(check(self.ask("GET", query), 200).body)
            found += [(one["name"], one["bytes"]) for one in page]
            if not page:
                return found
            marker = page[-1]["name"]

class Pithos(Swift):
    def write(self, name, first, bytes):
        """Over a part of it."""
        span = "bytes %d-%d/*" % (first, first + len(bytes) - 1)
        answer = self.ask("POST", "/" + quoted(name), bytes, Content_Range=span,
            Content_Type="application/octet-stream")
        assert answer.status in (202, 204), answer

    def move(self, source, name):
        answer = self.ask("PUT", "/" + quoted(name), X_Move_From=quoted("/%s/%s" % (BOX, source)))
        check(answer, 201)

class Native:
    """The command line, and the API that it speaks."""
    def run(self, *words):
        done = subprocess.run([BINARY, "file", *words], capture_output=True,
            env={"ARCHIPELAGO_ENDPOINT": "http://" + HOST, "LC_ALL": "C.UTF-8"})
        return done.returncode, done.stderr.decode()

    def put(self, name, bytes):
        file = "put-%d" % threading.get_ident()
        open(file, "wb").write(bytes)
        code, said = self.run("put", file, "%s/%s" % (BOX, name))
        assert code == 0, said

    def get(self, name):
        file = "get-%d" % threading.get_ident()
        code, said = self.run("get", "%s/%s" % (BOX, name), file, "--force")
        if code == 1 and "not" in said and "exist" in said:
            return None
        assert code == 0, said
        return open(file, "rb").read()

    def range(self, name, first, last):
        whole = self.get(name)
        return whole and whole[first:last + 1]

    def remove(self, name):
        answer = ask("DELETE", "/v1/files/%s/%s" % (BOX, quoted(name)), {"Host": HOST})
        check(answer, 204)

    def write(self, name, first, bytes):
        target = "/v1/files/%s/%s?offset=%d" % (BOX, quoted(name), first)
        check(ask("PATCH", target, {"Host": HOST, "Content-Length": len(bytes)}, bytes), 200)

    def list(self, prefix):
        query = urllib.parse.urlencode({"container": BOX, "prefix": prefix})
        listed = json.loads(check(ask("GET", "/v1/files?" + query, {"Host": HOST}), 200).body)
        return [(one["object"], one["size"]) for one in listed["files"]]

class Block:
    """Exports of NBD, by libnbd."""
    def open(self, export):
        handle = nbd.NBD()
        handle.set_export_name(export)
        # Guests' requests end at sectors; this server takes others, too.
        handle.set_strict_mode(handle.get_strict_mode() & ~nbd.STRICT_ALIGN)
        host, port = NBD.split(":")
        handle.connect_tcp(host, port)
        return handle

    def read(self, export, size=None):
        handle = self.open(export)
        bytes = handle.pread(handle.get_size(), 0) if handle.get_size() else b""
        handle.shutdown()
        return bytes

    def get(self, name):
        try:
            return self.read("file:%s/%s" % (BOX, name))
        except nbd.Error as error:
            assert "export" in str(error) or error.errno in ("ENOENT", None), error
            return None

    def write(self, export, first, bytes):
        handle = self.open(export)
        handle.pwrite(bytes, first)
        handle.flush()
        handle.shutdown()

NATIVE, BLOCK, PITHOS = Native(), Block(), Pithos(PITHOS)
HTTP = [S3(), Swift(SWIFT), PITHOS]
ALL = HTTP + [NATIVE]

def api(method, path, body, status):
    body = json.dumps(body).encode() if body is not None else b""
    headers = {"Host": HOST, "Content-Type": "application/json", "Content-Length": len(body)}
    return check(ask(method, path, headers, body), status)

def whole_sectors(bytes):
    return bytes + b"\0" * (-len(bytes) % 512)

class Worker:
    def __init__(self, number):
        self.number, self.chance, self.model = number, random.Random(SEED * 1000 + number), {}
        self.prefix = "w%d/" % number
        self.done = []

    def name(self):
        return self.prefix + self.chance.choice(NAMES)

    def known(self):
        return self.chance.choice(sorted(self.model)) if self.model else None

    def bytes(self):
        """New content, or some that is stored already, in whole or in part."""
        if self.model and self.chance.random() < 0.3:
            old = self.model[self.known()]
            return old[:self.chance.randint(0, len(old))] if self.chance.random() < 0.5 else old
        return self.chance.randbytes(self.chance.choice(SIZES))

    def door(self, doors):
        # The command line starts a process each time.
        door = self.chance.choice(doors)
        return self.chance.choice(doors) if door is NATIVE else door

    def put(self):
        name, bytes, door = self.name(), self.bytes(), self.door(ALL)
        self.note("put", door, name, len(bytes))
        door.put(name, bytes)
        self.model[name] = bytes

    def get(self):
        name, door = self.name(), self.door(ALL + [BLOCK])
        self.note("get", door, name)
        got, expected = door.get(name), self.model.get(name)
        if door is BLOCK and expected is not None:
            expected = whole_sectors(expected)
        self.same(got, expected)

    def range(self):
        name = self.known()
        if not name or not self.model[name]:
            return
        first = self.chance.randrange(len(self.model[name]))
        last = self.chance.randrange(first, len(self.model[name]))
        door = self.door(ALL)
        self.note("range", door, name, first, last)
        self.same(door.range(name, first, last), self.model[name][first:last + 1])

    def remove(self):
        name = self.known()
        if name:
            door = self.door(ALL)
            self.note("remove", door, name)
            door.remove(name)
            del self.model[name]

    def copy(self):
        source, name, door = self.known(), self.name(), self.chance.choice(HTTP)
        if source and source != name:
            self.note("copy", door, source, name)
            door.copy(source, name)
            self.model[name] = self.model[source]

    def move(self):
        source, name = self.known(), self.name()
        if source and source != name:
            self.note("move", PITHOS, source, name)
            PITHOS.move(source, name)
            self.model[name] = self.model.pop(source)

    def write(self):
        name = self.known()
        if not name or not self.model[name]:
            return
        old = self.model[name]
        first = self.chance.randrange(len(old))
        bytes = self.chance.randbytes(self.chance.randint(1, min(len(old) - first, 100000)))
        door = self.chance.choice([PITHOS, NATIVE])
        self.note("write", door, name, first, len(bytes))
        door.write(name, first, bytes)
        self.model[name] = old[:first] + bytes + old[first + len(bytes):]

    def list(self):
        door = self.door(ALL)
        prefix = self.prefix + self.chance.choice(["", "deep/", "a", "no"])
        self.note("list", door, prefix)
        expected = [(name, len(bytes)) for name, bytes in self.model.items() if name.startswith(prefix)]
        self.same(sorted(door.list(prefix)), sorted(expected))

    def clone(self):
        """A disk of an object, its guest, a snapshot of that, and the file that this is."""
        name = self.known()
        if not name or not self.model[name]:
            return
        disk = whole_sectors(self.model[name])
        volume = "v%d-%d" % (self.number, len(self.done))
        self.note("clone", BLOCK, name, volume)
        made = {"names": [volume], "from": "file:%s/%s" % (BOX, name)}
        api("POST", "/v1/volumes", made, 201)
        self.same(BLOCK.read(volume), disk)
        first = self.chance.randrange(len(disk))
        bytes = self.chance.randbytes(min(len(disk) - first, 70000))
        BLOCK.write(volume, first, bytes)
        changed = disk[:first] + bytes + disk[first + len(bytes):]
        self.same(BLOCK.read(volume), changed)
        api("POST", "/v1/snapshots", {"members": [volume + "@s"]}, 201)
        BLOCK.write(volume, 0, b"\xff" * 512)
        self.same(check(s3("GET", "/snapshots/%s@s" % volume), 200).body, changed)
        if self.chance.random() < 0.5:
            # Its snapshot becomes an object of its own.
            copy = self.name()
            source = "/snapshots/%s@s" % volume
            self.note("copy", HTTP[0], source, copy)
            check(s3("PUT", "/%s/%s" % (BOX, quoted(copy)), x_amz_copy_source=source), 200)
            self.model[copy] = changed
        for _ in range(500):
            answer = ask("DELETE", "/v1/volumes/%s?force=true" % volume, {"Host": HOST})
            # The server learns of a client's end a moment after the client is gone.
            if answer.status != 409:
                break
            time.sleep(0.02)
        check(answer, 204)
        self.same(HTTP[1].get(name), self.model.get(name))

    def shared_write(self):
        with LOCK:
            number = STATE["written"] + 1
            STATE["written"] = number
            door = self.chance.choice(HTTP)
            self.note("shared put", door, number)
            door.put("shared", b"%016d" % number * self.chance.choice([1, 100, 10000]))
            STATE["acknowledged"] = number

    def shared_read(self):
        door = self.chance.choice(HTTP + [BLOCK])
        self.note("shared get", door)
        low = STATE["acknowledged"]
        got = door.get("shared")
        high = STATE["written"]
        if got is None:
            assert low == 0, "the shared object is gone"
            return
        got = got.rstrip(b"\0")
        assert got == got[:16] * (len(got) // 16), "two writes in one"
        assert low <= int(got[:16]) <= high, (low, int(got[:16]), high)

    def note(self, what, door, *more):
        self.done.append((what, type(door).__name__) + more)

    def same(self, got, expected):
        if got == expected:
            return
        if isinstance(got, bytes) and isinstance(expected, bytes):
            at = next((i for i, (a, b) in enumerate(zip(got, expected)) if a != b), "the end")
            raise AssertionError("%d bytes, not %d, from %s on" % (len(got), len(expected), at))
        raise AssertionError("%.300r, not %.300r" % (got, expected))

    def run(self):
        acts = [(self.put, 20), (self.get, 22), (self.range, 12), (self.remove, 6), (self.copy, 8),
            (self.move, 4), (self.write, 8), (self.list, 10), (self.clone, 5),
            (self.shared_write, 6), (self.shared_read, 12)]
        try:
            for _ in range(ACTS // WORKERS):
                if FAILED:
                    return
                self.chance.choices(*zip(*acts))[0]()
            # All of it, by every door.
            for door in ALL:
                self.same(sorted(door.list(self.prefix)),
                    sorted((name, len(bytes)) for name, bytes in self.model.items()))
            for name in self.model:
                self.same(self.chance.choice(HTTP).get(name), self.model[name])
        except BaseException:
            FAILED.append("worker %d, seed %d, after %r:\n%s"
                % (self.number, SEED, self.done[-12:], traceback.format_exc()))

LOCK, STATE, FAILED = threading.Lock(), {"written": 0, "acknowledged": 0}, []
check(s3("PUT", "/" + BOX), 200)
threads = [threading.Thread(target=Worker(number).run) for number in range(WORKERS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if FAILED:
    sys.exit("\n".join(FAILED))
