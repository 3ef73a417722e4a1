use super::*;

const PRINTED: &str = r#"fio: connected to NBD server
{ "jobs": [ {
    "read": { "total_ios": 0, "iops": 0.0 },
    "write": { "total_ios": 672, "iops": 335.5, "bw_bytes": 1374194,
        "clat_ns": { "max": 9000000, "percentile": { "50.000000": 40000, "99.000000": 5603328 } } },
    "sync": { "total_ios": 672, "lat_ns": { "mean": 2258956.1 } } } ] }"#;

#[test]
fn the_side_that_did_something_is_told() {
    let figures = parse(PRINTED).unwrap();
    assert_eq!(figures.iops, 335.5);
    assert_eq!(figures.bytes_per_second, 1_374_194.0);
    assert_eq!((figures.p50_us, figures.p99_us), (40.0, 5603.328));
    assert_eq!(figures.max_us, 9000.0);
    assert!((figures.flush_us - 2258.9561).abs() < 1e-6);
}

#[test]
fn output_without_figures_is_an_error() {
    for text in ["", "{", "{\"jobs\": []}", r#"{"jobs":[{"write":{"iops":0.0}}]}"#] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_flush_is_asked_of_a_server_and_fdatasync_of_a_file() {
    let job = Job { flush_every: 1, time: Some(Duration::from_secs(2)), ..Job::fill(1 << 20) };
    let nbd = job.arguments(&Place::Nbd(vec!["nbd+unix:///v?socket=s".to_owned(); 2])).join(" ");
    assert!(nbd.contains("--fsync=1") && !nbd.contains("--fdatasync"), "{nbd}");
    assert!(
        nbd.contains("--runtime=2000ms") && nbd.contains("--name=job1 --uri=nbd+unix"),
        "{nbd}"
    );
    let files = job.arguments(&Place::Files(vec!["/x".into()])).join(" ");
    assert!(files.contains("--fdatasync=1 --name=job0 --filename=/x"), "{files}");
}
