# Requests as bytes, signed as AWS writes that they are signed, by nothing but the standard library:
# a client that can lie in every part of one.
import datetime, hashlib, hmac, json, socket, sys, time, urllib.parse

ADDRESS = (sys.argv[1].split("//")[1].split(":")[0], int(sys.argv[1].rsplit(":", 1)[1]))
KEY, SECRET = sys.argv[2], sys.argv[3]
HOST = "%s:%d" % ADDRESS
EMPTY = hashlib.sha256(b"").hexdigest()
STREAMED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
UNSIGNED = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
# Nothing may take longer: what hangs fails.
PATIENCE = 40

def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()

class Signer:
    def __init__(self, key=KEY, secret=SECRET, skew=0):
        now = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=skew)
        self.key, self.time = key, now.strftime("%Y%m%dT%H%M%SZ")
        self.scope = self.time[:8] + "/us-east-1/s3/aws4_request"
        self.secret = ("AWS4" + secret).encode()
        for word in self.scope.split("/"):
            self.secret = mac(self.secret, word)
        self.last = None

    def sign(self, kind, *lines):
        text = "\n".join((kind, self.time, self.scope) + lines)
        return mac(self.secret, text).hex()

    def headers(self, method, target, payload, more):
        """The headers of a request with its signature; the first one of its chunks."""
        headers = {"host": HOST, "x-amz-content-sha256": payload, "x-amz-date": self.time, **more}
        path, _, query = target.partition("?")
        names = sorted(name.lower() for name in headers)
        lower = {name.lower(): value for name, value in headers.items()}
        canonical = "\n".join([method, path, "&".join(sorted(query.split("&"))) if query else "",
            "".join("%s:%s\n" % (name, lower[name]) for name in names), ";".join(names), payload])
        self.last = self.sign("AWS4-HMAC-SHA256", hashlib.sha256(canonical.encode()).hexdigest())
        headers["Authorization"] = (
            "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s"
            % (self.key, self.scope, ";".join(names), self.last))
        return headers

    def chunk(self, bytes):
        """One chunk of a body that is signed in pieces."""
        digest = hashlib.sha256(bytes).hexdigest()
        self.last = self.sign("AWS4-HMAC-SHA256-PAYLOAD", self.last, EMPTY, digest)
        return b"%x;chunk-signature=%s\r\n%s\r\n" % (len(bytes), self.last.encode(), bytes)

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def code(self):
        """What S3 calls the error."""
        text = self.body.decode(errors="replace")
        return text.split("<Code>")[1].split("</Code>")[0] if "<Code>" in text else None

    def message(self):
        text = self.body.decode(errors="replace")
        return text.split("<Message>")[1].split("</Message>")[0] if "<Message>" in text else None

    def __repr__(self):
        return "%s %s" % (self.status, self.body[:300])

class Wire:
    """A connection."""
    def __init__(self):
        self.socket = socket.create_connection(ADDRESS, timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.kept = b""

    def send(self, bytes):
        # Whoever answers early may have closed before all is sent; the answer is what counts.
        try:
            self.socket.sendall(bytes)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def end(self):
        """Nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def more(self):
        try:
            piece = self.socket.recv(1 << 16)
        except ConnectionResetError:
            piece = b""
        self.kept += piece
        return bool(piece)

    def answer(self, method="GET"):
        """The next answer, or None when the server hung up."""
        while b"\r\n\r\n" not in self.kept:
            if not self.more():
                return None
        head, self.kept = self.kept.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        status = int(lines[0].split()[1])
        if status == 100:
            return self.answer(method)
        return Answer(status, headers, self.body(method, status, headers))

    def body(self, method, status, headers):
        if method == "HEAD" or status in (204, 304):
            return b""
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                size = int(self.upto(b"\r\n"), 16)
                piece = self.take(size)
                self.take(2)
                if size == 0:
                    return body
                body += piece
        return self.take(int(headers.get("content-length", 0)))

    def upto(self, mark):
        while mark not in self.kept:
            assert self.more(), "cut off"
        found, self.kept = self.kept.split(mark, 1)
        return found

    def take(self, size):
        while len(self.kept) < size:
            assert self.more(), "cut off"
        found, self.kept = self.kept[:size], self.kept[size:]
        return found

    def hung_up(self):
        """Whether the server has closed, or does within the patience."""
        while self.more():
            pass
        return True

def head_of(method, target, headers):
    lines = "".join("%s: %s\r\n" % (name, value) for name, value in headers.items())
    return ("%s %s HTTP/1.1\r\n%s\r\n" % (method, target, lines)).encode()

def ask(method, target, headers, body=b""):
    """One request on a connection of its own."""
    return Wire().send(head_of(method, target, headers) + body).answer(method)

def s3(method, target, body=b"", signer=None, payload=None, length=None, **more):
    """A request of S3; what is given by name is not what it should be."""
    payload = payload or hashlib.sha256(body).hexdigest()
    more = {name.replace("_", "-"): value for name, value in more.items()}
    headers = (signer or Signer()).headers(method, target, payload, more)
    headers["Content-Length"] = len(body) if length is None else length
    return ask(method, target, headers, body)

def check(answer, status, code=None):
    assert answer is not None, "hung up without an answer"
    assert answer.status == status, (status, answer)
    assert code is None or answer.code() == code, (code, answer)
    return answer

def gone(target):
    """Nothing of what was refused can be seen."""
    check(s3("HEAD", target), 404)
    bucket = "/" + target.split("/")[1]
    listed = check(s3("GET", bucket + "?list-type=2"), 200)
    assert b"<Key>" not in listed.body, listed
