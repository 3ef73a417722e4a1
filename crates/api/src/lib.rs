//! Types of the local HTTP API, shared by server and client.
