//! Every command's output and exit code, in a pipe.

use std::io::Write as _;
use std::process::{Child, Command, Stdio};

use expect_test::{Expect, expect};
use it::broker::{Broker, Kind};
use it::project::{self, Profile};
use it::tools;

/// A broker, and commands that ask it.
struct Session {
    broker: Broker,
}

/// A command that runs until it is told to stop; it does not outlive a test that failed.
struct Tail(Child);

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Session {
    fn start() -> Option<Self> {
        if Kind::under_test() == Kind::Kafka {
            tools::note("these are Ottla's own commands");
            return None;
        }
        Some(Self { broker: Broker::start() })
    }

    /// Runs `ottla` with these words, and returns what it wrote and how it ended. What differs from run to run is replaced.
    fn run(&self, words: &[&str], input: &str) -> String {
        let mut child = Command::new(project::ottla(Profile::Dev).unwrap())
            .args(words)
            .env("OTTLA_BROKER", self.broker.api_address())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that does not read ends before everything is written.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|bytes| self.steady(&String::from_utf8_lossy(&bytes)));
        format!("{out}{err}[{}]\n", output.status.code().unwrap())
    }

    fn check(&self, line: &str, expected: Expect) {
        self.check_with(line, "", expected);
    }

    fn check_with(&self, line: &str, input: &str, expected: Expect) {
        let words: Vec<&str> =
            line.split(' ').map(|word| if word == "FORMAT" { "%p %o %k=%v\\n" } else { word }).collect();
        expected.assert_eq(&self.run(&words, input));
    }

    fn steady(&self, text: &str) -> String {
        let text = text
            .replace(&self.broker.address(), "KAFKA")
            .replace(&self.broker.api_address(), "API")
            .replace(&self.broker.data_dir().display().to_string(), "DATA");
        text.split_inclusive(|c: char| !(c.is_alphanumeric() || "-_:.".contains(c))).map(word).collect()
    }
}

/// Ids, times and free space are other ones in each run; the rest of the word stays.
fn word(word: &str) -> String {
    let end = word.trim_end_matches(|c: char| !(c.is_alphanumeric() || "-_:.".contains(c)));
    let rest = &word[end.len()..];
    let (mark, end) = end.strip_prefix(':').map_or(("", end), |end| (":", end));
    let is_uuid = end.len() == 22 && end.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    let is_time = end.len() == 24 && end.starts_with("20") && end.ends_with('Z');
    let is_millis = end.len() == 13 && end.starts_with('1') && end.chars().all(|c| c.is_ascii_digit());
    match () {
        () if is_uuid => format!("{mark}UUID{rest}"),
        () if is_time => format!("{mark}TIME{rest}"),
        () if is_millis => format!("{mark}MILLIS{rest}"),
        () => word.to_owned(),
    }
}

#[test]
fn topics_and_configs() {
    let Some(session) = Session::start() else { return };
    session.check(
        "topic list",
        expect![[r#"
        there are no topics; `ottla topic create TOPIC` makes one
        [0]
    "#]],
    );
    session.check(
        "topic create orders -p 3 -c retention.ms=3600000",
        expect![[r#"
        orders created: 3 partitions, 1 replica
        [0]
    "#]],
    );
    session.check(
        "topic create orders",
        expect![[r#"
        ottla: cannot create orders: orders: Topic 'orders' already exists. (TOPIC_ALREADY_EXISTS)
          `ottla topic describe TOPIC` shows it; --if-not-exists takes it as it is
        [1]
    "#]],
    );
    session.check(
        "topic create orders --if-not-exists",
        expect![[r#"
        orders is there already
        [0]
    "#]],
    );
    session.check("topic create no/name", expect![[r#"
        ottla: cannot create no/name: no/name: Topic name is invalid: 'no/name' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-' (INVALID_TOPIC_EXCEPTION)
          names have 1 to 249 letters, digits, '.', '_' and '-'
        [1]
    "#]]);
    session.check("topic create wide -r 3", expect![[r#"
        ottla: cannot create wide: wide: Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 1 broker(s) are registered. (INVALID_REPLICATION_FACTOR)
          `ottla cluster status` shows how many brokers there are
        [1]
    "#]]);
    session.check(
        "topic create later --dry-run --json",
        expect![[r#"
        {"created":false,"id":"UUID","partitions":1,"replication_factor":1,"topic":"later"}
        [0]
    "#]],
    );
    session.check(
        "topic list",
        expect![[r#"
        TOPIC   PARTITIONS  REPLICAS  ID
        orders           3         1  UUID
        [0]
    "#]],
    );
    session.check(
        "topic list --json",
        expect![[r#"
        {"id":"UUID","internal":false,"partitions":3,"replication_factor":1,"topic":"orders"}
        [0]
    "#]],
    );
    session.check(
        "topic describe orders",
        expect![[r#"
        orders  3 partitions, 1 replica, id UUID
          retention.ms=3600000
        PARTITION  LEADER  EPOCH  REPLICAS  IN SYNC  START  END  SIZE
                0       1      0  1         1            0    0   0 B
                1       1      0  1         1            0    0   0 B
                2       1      0  1         1            0    0   0 B
        [0]
    "#]],
    );
    session.check("topic describe orders --json", expect![[r#"
        {"configs":{"retention.ms":"3600000"},"id":"UUID","internal":false,"partitions":[{"end":0,"in_sync_replicas":[1],"leader":1,"leader_epoch":0,"log_start":0,"partition":0,"replicas":[1],"size_bytes":0},{"end":0,"in_sync_replicas":[1],"leader":1,"leader_epoch":0,"log_start":0,"partition":1,"replicas":[1],"size_bytes":0},{"end":0,"in_sync_replicas":[1],"leader":1,"leader_epoch":0,"log_start":0,"partition":2,"replicas":[1],"size_bytes":0}],"replication_factor":1,"topic":"orders"}
        [0]
    "#]]);
    session.check("topic alter orders --partitions 2", expect![[r#"
        ottla: cannot add partitions to orders: orders: The topic orders currently has 3 partition(s); 2 would not be an increase. (INVALID_PARTITIONS)
          partitions only grow: name a larger number than there are, at least 1
        [1]
    "#]]);
    session.check(
        "topic alter orders --partitions 5 --set max.message.bytes=2000000 --remove retention.ms",
        expect![[r#"
            orders: configs changed
            orders: 5 partitions
            [0]
        "#]],
    );
    session.check(
        "config get --topic orders",
        expect![[r#"
        CONFIG             VALUE    SOURCE
        max.message.bytes  2000000  topic
        [0]
    "#]],
    );
    session.check(
        "config get --topic orders retention.ms --json",
        expect![[r#"
        {"config":"retention.ms","read_only":false,"sensitive":false,"source":"default","value":"604800000"}
        [0]
    "#]],
    );
    session.check(
        "config get --topic orders nosuch",
        expect![[r#"
        ottla: topic orders has no config nosuch: see `ottla config get --all`
        [1]
    "#]],
    );
    session.check(
        "config get --node 1 num.partitions log.retention.ms",
        expect![[r#"
        CONFIG            VALUE   SOURCE
        log.retention.ms  (none)  default
        num.partitions    1       default
        [0]
    "#]],
    );
    session.check(
        "config get --all-nodes",
        expect![[r#"
        nothing is set on all brokers; --all shows the defaults
        [0]
    "#]],
    );
    session.check("config set --topic orders retention.ms=soon", expect![[r#"
        ottla: cannot change the configs of topic orders: orders: Invalid value soon for configuration retention.ms: Not a number of type LONG (INVALID_CONFIG)
          docs/configuration.md has the names and ranges
        [1]
    "#]]);
    session.check(
        "config set --topic orders retention.ms=60000 --dry-run",
        expect![[r#"
        topic orders: configs can be changed so
        [0]
    "#]],
    );
    session.check(
        "config set --topic orders retention.ms=60000 --remove max.message.bytes",
        expect![[r#"
        topic orders: configs changed
        [0]
    "#]],
    );
    session.check("topic delete orders nosuch", expect![[r#"
        orders deleted
        ottla: cannot delete nosuch: nosuch: This server does not host this topic-partition. (UNKNOWN_TOPIC_OR_PARTITION)
          `ottla topic list` shows the topics, `ottla topic describe TOPIC` its partitions
        [1]
    "#]]);
    session.check(
        "topic delete nosuch --if-exists",
        expect![[r#"
        nosuch is not there
        [0]
    "#]],
    );
}

#[test]
fn records() {
    let Some(session) = Session::start() else { return };
    session.run(&["topic", "create", "orders", "-p", "1"], "");
    session.check_with(
        "produce orders -K =",
        "a=1\nb=2\n",
        expect![[r#"
        [0]
    "#]],
    );
    session.check_with(
        "produce orders -K = --null - -H by=me -z zstd",
        "a=-\n-=4\r\n=\n",
        expect![[r#"
        [0]
    "#]],
    );
    session.check_with(
        "produce orders -k all -p 0 --acks leader",
        "5\n6",
        expect![[r#"
            [0]
        "#]],
    );
    session.check_with(
        "produce orders -K =",
        "no separator\n",
        expect![[r#"
        ottla: the line "no separator" has no key: --key-separator "=" does not stand in it
        [1]
    "#]],
    );
    session.check_with(
        "produce orders -p 7",
        "x\n",
        expect![[r#"
        ottla: orders has no partition 7: it has 1 partition (UNKNOWN_TOPIC_OR_PARTITION)
          `ottla topic describe orders` shows them
        [1]
    "#]],
    );
    session.check(
        "produce orders -f /nowhere",
        expect![[r#"
        ottla: cannot read /nowhere: No such file or directory (os error 2)
        [1]
    "#]],
    );
    session.check(
        "consume orders --from start -e",
        expect![[r#"
            1
            2

            4

            5
            6
            [0]
        "#]],
    );
    session.check(
        "consume orders --from start -e -f FORMAT",
        expect![[r#"
            0 0 a=1
            0 1 b=2
            0 2 a=
            0 3 =4
            0 4 =
            0 5 all=5
            0 6 all=6
            [0]
        "#]],
    );
    session.check(
        "consume orders --from start -e -f text",
        expect![[r#"
            orders-0 @ 0  TIME  "a" = "1"
            orders-0 @ 1  TIME  "b" = "2"
            orders-0 @ 2  TIME  "a" = null  by="me"
            orders-0 @ 3  TIME  null = "4"  by="me"
            orders-0 @ 4  TIME  "" = ""  by="me"
            orders-0 @ 5  TIME  "all" = "5"
            orders-0 @ 6  TIME  "all" = "6"
            [0]
        "#]],
    );
    session.check("consume orders --from 2 -n 1 --json", expect![[r#"
        {"headers":[{"name":"by","value":"me"}],"key":"a","offset":2,"partition":0,"timestamp_ms":MILLIS,"topic":"orders","value":null}
        [0]
    "#]]);
    session.check(
        "consume orders --from -2 -e -f FORMAT",
        expect![[r#"
            0 5 all=5
            0 6 all=6
            [0]
        "#]],
    );
    session.check(
        "consume orders --from 1h -e -n 1",
        expect![[r#"
        1
        [0]
    "#]],
    );
    session.check(
        "consume orders --from end -e",
        expect![[r#"
        [0]
    "#]],
    );
    session.check(
        "consume orders --from 99 -e",
        expect![[r#"
            ottla: orders-0 has no offset 99: it ends at 7 (OFFSET_OUT_OF_RANGE)
              --from end waits for what comes next, --from -10 begins 10 records before
            [1]
        "#]],
    );
    session.check("consume orders --from yesterday", expect![[r#"
        error: invalid value 'yesterday' for '--from <PLACE>': expected start, end, an offset, -N (N records before the end), a time in UTC (2026-01-31T08:00:00Z, or @ and milliseconds since 1970), or an age (15m, 2h, 7days)

        For more information, try '--help'.
        [2]
    "#]]);
    session.check(
        "consume orders -e -p 3",
        expect![[r#"
        ottla: orders has no partition 3: it has 1 partition (UNKNOWN_TOPIC_OR_PARTITION)
          `ottla topic describe orders` shows them
        [1]
    "#]],
    );
    session.check(
        "consume nosuch -e",
        expect![[r#"
        ottla: cannot read nosuch: nosuch: unknown topic or partition (UNKNOWN_TOPIC_OR_PARTITION)
          `ottla topic list` shows the topics, `ottla topic describe TOPIC` its partitions
        [1]
    "#]],
    );
}

#[test]
fn groups_their_lag_and_where_they_go_on() {
    let Some(session) = Session::start() else { return };
    session.check(
        "group list",
        expect![[r#"
        there are no such groups; `ottla consume TOPIC --group GROUP` makes one
        [0]
    "#]],
    );
    session.check(
        "group describe depot",
        expect![[r#"
        ottla: cannot describe depot: depot: Group depot not found. (GROUP_ID_NOT_FOUND)
          `ottla group list` shows the groups
        [1]
    "#]],
    );
    session.run(&["topic", "create", "parcels", "--partitions", "2"], "");
    let lines: String = (0..100).map(|number| format!("{number}\n")).collect();
    session.run(&["produce", "parcels", "--partition", "0"], &lines);
    let read = session.run(&["consume", "parcels", "--group", "depot", "--from", "start", "-n", "40"], "");
    assert_eq!(read.lines().count(), 41, "{read}");
    session.check(
        "group list",
        expect![[r#"
        GROUP  STATE  PROTOCOL  KIND
        depot  Empty  consumer  consumer
        [0]
    "#]],
    );
    // How long ago is another time in each run.
    let described = session.run(&["group", "describe", "depot"], "");
    let begin = "depot  Empty, consumer protocol, uniform, 0 members, 60 records behind, by ";
    assert!(described.starts_with(begin), "{described}");
    let behind: Vec<&str> = described.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(behind[..5], ["parcels", "0", "40", "100", "60"], "{described}");
    let json = session.run(&["group", "describe", "depot", "--json"], "");
    let json: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&json["committed"], &json["end"], &json["lag"]), (&40.into(), &100.into(), &60.into()));
    assert!(json["lag_seconds"].as_f64().unwrap() > 0.0, "{json}");

    session.check(
        "group reset depot --topic parcels:0 --to 10",
        expect![[r#"
        TOPIC    PARTITION  WAS  NEW  CHANGE
        parcels          0   40   10     -30
        nothing was changed; with --execute depot goes on there in 1 partition
        [0]
    "#]],
    );
    session.check(
        "group reset depot --to start --export",
        expect![[r#"
        parcels,0,0
        parcels,1,0
        [0]
    "#]],
    );
    session.check(
        "group reset depot --shift-by -5 --execute",
        expect![[r#"
        TOPIC    PARTITION  WAS  NEW  CHANGE
        parcels          0   40   35      -5
        parcels          1    0    0      +0
        depot goes on there in 2 partitions
        [0]
    "#]],
    );
    let file = session.broker.data_dir().join("offsets.csv");
    std::fs::write(&file, "parcels,0,0\n\"parcels\",1,0\n").unwrap();
    session.check(
        &format!("group reset depot --from-file {} --execute", file.display()),
        expect![[r#"
        TOPIC    PARTITION  WAS  NEW  CHANGE
        parcels          0   35    0     -35
        parcels          1    0    0      +0
        depot goes on there in 2 partitions
        [0]
    "#]],
    );

    // While somebody is in it, nobody else says where it goes on.
    let member = Command::new(project::ottla(Profile::Dev).unwrap())
        .args(["consume", "parcels", "--group", "depot"])
        .env("OTTLA_BROKER", session.broker.api_address())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut member = Tail(member);
    it::wait::until("the member to join", std::time::Duration::from_secs(30), || {
        let members = session.run(&["group", "members", "depot", "--json"], "");
        Ok(members.contains("\"assignment\":[{").then_some(()))
    })
    .unwrap();
    session.check("group reset depot --to start --execute", expect![[r#"
        ottla: cannot reset depot: depot is Stable with 1 member(s), which would overwrite new offsets: stop them first (NON_EMPTY_GROUP)
          `ottla group members GROUP` shows who is in it; what they commit would undo this
        [1]
    "#]]);
    session.check(
        "group delete depot",
        expect![[r#"
        ottla: cannot delete depot: depot: the group is not empty (NON_EMPTY_GROUP)
          `ottla group members GROUP` shows who is in it; what they commit would undo this
        [1]
    "#]],
    );
    // How far it is behind is another number at each moment.
    let said = session.run(&["group", "members", "depot"], "");
    let (first, rest) = said.split_once('\n').unwrap();
    assert!(first.starts_with("depot  Stable, consumer protocol, uniform, 1 member, "), "{first}");
    expect![[r#"
        MEMBER                  INSTANCE  CLIENT         HOST       EPOCH  PARTITIONS  READS
        UUID  -         ottla consume  127.0.0.1      4           2  parcels:0,1
        [0]
    "#]]
    .assert_eq(rest);
    rustix::process::kill_process(rustix::process::Pid::from_child(&member.0), rustix::process::Signal::INT)
        .unwrap();
    assert!(member.0.wait().unwrap().success(), "a tail that is stopped has done what it was asked");
    session.check(
        "group delete depot",
        expect![[r#"
        depot deleted
        [0]
    "#]],
    );
}

/// A lone broker has nowhere to move anything; it says so, and takes what changes nothing.
#[test]
fn what_a_lone_broker_says_about_moving() {
    let Some(session) = Session::start() else { return };
    session.run(&["topic", "create", "t", "--partitions", "2"], "");
    session.check(
        "cluster reassign --list",
        expect![[r#"
            no partition is moving
            [0]
        "#]],
    );
    session.check(
        "cluster reassign",
        expect![[r#"
            ottla: nothing to move: name a FILE, or --topic and --replicas, or --list
            [2]
        "#]],
    );
    session.check(
        "cluster reassign --topic t",
        expect![[r#"
            ottla: where to? name --replicas, for example --replicas 2,3
            [2]
        "#]],
    );
    session.check(
        "cluster reassign --topic t --replicas 1",
        expect![[r#"
            t-0: to 1
            t-1: to 1
            nothing has changed: --execute does it
            [0]
        "#]],
    );
    session.check(
        "cluster reassign --topic t --replicas 1 --execute",
        expect![[r#"
            t-0: to 1
            t-1: to 1
            moving; `ottla cluster reassign --list` shows what is not done yet
            [0]
        "#]],
    );
    session.check(
        "cluster reassign --topic t --partition 1 --replicas 1,7 --execute",
        expect![[r#"
            t-1: to 1,7: The manual partition assignment includes broker 7, but no such broker is registered. (INVALID_REPLICA_ASSIGNMENT)
            ottla: 1 partition cannot be moved
            [1]
        "#]],
    );
    session.check(
        "cluster reassign --topic t --partition 1 --replicas 7 --json",
        expect![[r#"
            {"error":"The manual partition assignment includes broker 7, but no such broker is registered. (INVALID_REPLICA_ASSIGNMENT)","executed":false,"partition":1,"to":[7],"topic":"t"}
            ottla: 1 partition cannot be moved
            [1]
        "#]],
    );
    session.check(
        "cluster reassign --topic t --partition 1 --cancel --execute",
        expect![[r#"
            t-1: not cancelled: No partition reassignment is in progress. (NO_REASSIGNMENT_IN_PROGRESS)
            ottla: 1 move could not be cancelled
            [1]
        "#]],
    );
    session.check(
        "cluster reassign --cancel --execute",
        expect![[r#"
            no partition is moving
            [0]
        "#]],
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("moves.json");
    let moves = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1],"log_dirs":["any"]},{"topic":"u","partition":0,"replicas":[1]}]}"#;
    std::fs::write(&file, moves).unwrap();
    let path = file.display().to_string();
    expect![[r#"
        t-0: to 1
        u-0: to 1: Unable to find a topic named u. (UNKNOWN_TOPIC_OR_PARTITION)
        ottla: 1 partition cannot be moved
        [1]
    "#]]
    .assert_eq(&session.run(&["cluster", "reassign", &path], ""));
    std::fs::write(&file, moves.replace(r#""any""#, r#""/data""#)).unwrap();
    expect![[r#"
        ottla: FILE: t-0 names a log directory: a broker has one, so only "any" can be meant
        [1]
    "#]]
    .assert_eq(&session.run(&["cluster", "reassign", &path], "").replace(&path, "FILE"));
    session.check(
        "cluster elect",
        expect![[r#"
            every partition is led by its preferred leader
            [0]
        "#]],
    );
    session.check(
        "cluster elect --topic t --partition 0 --json",
        expect![[r#"
            {"elected":false,"error":"Leader election not needed for topic partition. (ELECTION_NOT_NEEDED)","partition":0,"topic":"t"}
            [0]
        "#]],
    );
    session.check(
        "cluster elect --topic t --partition 9",
        expect![[r#"
            t-9: No such partition as t-9 (UNKNOWN_TOPIC_OR_PARTITION)
            ottla: 1 partition got no leader
            [1]
        "#]],
    );
    session.check(
        "cluster elect --unclean",
        expect![[r#"
            every partition has a leader
            [0]
        "#]],
    );
    session.check(
        "cluster balance",
        expect![[r#"
            BROKER  REPLICAS  THEN  LEADS  THEN  SIZE  THEN
                 1         2     2      2     2   0 B   0 B
            nothing to move
            [0]
        "#]],
    );
    session.check(
        "cluster balance --execute --json",
        expect![[r#"
            {"brokers":[{"after":{"bytes":0,"leaders":2,"replicas":2},"before":{"bytes":0,"leaders":2,"replicas":2},"id":1}],"elections":[],"steps":[]}
            [0]
        "#]],
    );
    session.check(
        "cluster balance --replicas 3 --topic t",
        expect![[r#"
            BROKER  REPLICAS  THEN  LEADS  THEN  SIZE  THEN
                 1         2     2      2     2   0 B   0 B
            nothing to move
            [0]
        "#]],
    );
    session.check(
        "cluster drain 1",
        expect![[r#"
            ottla: cannot plan: 2 partition(s) of broker 1, t-0 among them, have no other broker to go to: each broker that lives has a replica already. Start another broker, or give those topics fewer replicas first (INVALID_REPLICATION_FACTOR)
              `ottla cluster status` shows how many brokers there are
            [1]
        "#]],
    );
    session.check(
        "cluster drain 7 --execute",
        expect![[r#"
            ottla: cannot plan: Broker ID 7 is not currently registered (BROKER_ID_NOT_REGISTERED)
            [1]
        "#]],
    );
}

#[test]
fn the_cluster_and_what_is_no_command() {
    let Some(session) = Session::start() else { return };
    let status = session.run(&["cluster", "status"], "");
    // Sizes of this machine's disk stand in it.
    let steady: Vec<&str> =
        status.lines().filter(|line| !line.contains(" free") && !line.contains("  leader")).collect();
    expect![[r#"
        cluster UUID, controller broker 1
        0 topics with 0 partitions: 0 without a leader, 0 under-replicated

        BROKER  STATE    RACK  LEADS  REPLICAS  LISTENERS
             1  serving  -         0         0  PLAINTEXT://KAFKA API://API

        metadata quorum: node 1 leads in term 1, voters 1, observers -

        NODE  ROLE    LAG  LOG END  HEARD OF  DIRECTORY               CONTROL LISTENER
        [0]
    "#]]
    .assert_eq(&(steady.join("\n") + "\n"));
    let json: serde_json::Value =
        serde_json::from_str(session.run(&["cluster", "status", "--json"], "").lines().next().unwrap())
            .unwrap();
    assert_eq!(json["brokers"][0]["fenced"], false);
    assert!(json["log_dir"]["free_bytes"].as_u64().unwrap() > 0);
    let alone = &json["quorum"]["members"][0];
    assert_eq!((&alone["role"], &alone["lag"], &alone["address"]), (&"leader".into(), &0.into(), &().into()));
    for taken in ["voter remove 1", "voter add 7", "voter add 1"] {
        let words: Vec<&str> = ["cluster"].into_iter().chain(taken.split(' ')).collect();
        let refused = session.run(&words, "");
        let why = match taken {
            "voter remove 1" => "cannot take the vote of node 1: node 1 is the only voter",
            "voter add 7" => "Node 7 is no member of the metadata quorum yet",
            _ => "The voter id for node 1 is already part of the set of voters",
        };
        assert!(refused.contains(why) && refused.ends_with("[1]\n"), "{refused}");
    }

    session.check("topic list --broker 127.0.0.1:1 --timeout 300ms", expect![[r#"
        ottla: cannot list the topics: listing topics took longer than 300ms; the last attempt: no broker answered at http://127.0.0.1:1: Connection refused (os error 111)
          is a broker running there? `ottla serve` starts one; --broker names another (its API listener, not Kafka's port)
        [1]
    "#]]);
    session.check(
        "topic",
        expect![[r#"
        error: 'ottla topic' requires a subcommand but one was not provided
          [subcommands: create, list, ls, describe, alter, delete]

        Usage: ottla topic [OPTIONS] <COMMAND>

        For more information, try '--help'.
        [2]
    "#]],
    );
    session.check(
        "nonsense",
        expect![[r#"
        error: unrecognized subcommand 'nonsense'

        Usage: ottla <COMMAND>

        For more information, try '--help'.
        [2]
    "#]],
    );
    for shell in ["bash", "zsh", "fish"] {
        let script = session.run(&["completions", shell], "");
        assert!(script.contains("consume") && script.ends_with("[0]\n"), "{shell}");
    }
    let bench = session.run(&["bench", "produce", "-n", "2000", "-s", "100", "--json"], "");
    let bench: serde_json::Value = serde_json::from_str(bench.lines().next().unwrap()).unwrap();
    assert_eq!(bench["records"], 2000);
    assert!(bench["p99_ms"].as_f64().unwrap() > 0.0);
    let read = session.run(&["bench", "consume", "--json"], "");
    let read: serde_json::Value = serde_json::from_str(read.lines().next().unwrap()).unwrap();
    assert_eq!((&read["records"], &read["bytes"]), (&2000.into(), &200_000.into()));
    let latency = session.run(&["bench", "latency", "-n", "20"], "");
    assert!(latency.starts_with("latency: 20 records"), "{latency}");
}
