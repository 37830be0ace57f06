//! One file system at one moment: for every file and directory what a reader sees (written), what is on the platter
//! (synced), and the operations in between, in their order, of which a power cut keeps what it likes.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use ottla_storage::{Entry, EntryKind};

use super::content::Content;
use crate::rng::mix;

/// Number of a file or directory, as a file system numbers them; names point at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Inode(pub(crate) u64);

/// The root directory.
pub(crate) const ROOT: Inode = Inode(0);

/// A change to a file that is not known to be on the platter.
#[derive(Clone, Debug)]
pub(crate) enum FileOp {
    Write { position: u64, bytes: Arc<[u8]> },
    SetLen(u64),
}

/// A change to a directory that is not known to be on the platter.
#[derive(Clone, Debug)]
pub(crate) enum NameOp {
    Link {
        name: Arc<str>,
        to: Inode,
    },
    Unlink {
        name: Arc<str>,
    },
    /// Both names change together or not at all, as POSIX demands.
    Rename {
        from: Arc<str>,
        name: Arc<str>,
        to: Inode,
    },
}

/// A file, with its two images.
#[derive(Clone, Debug, Default)]
pub(crate) struct FileNode {
    pub(crate) written: Content,
    pub(crate) synced: Content,
    /// With the number of the operation in the whole disk's order.
    pub(crate) pending: Vec<(u64, FileOp)>,
}

type Names = BTreeMap<Arc<str>, Inode>;

/// A directory, with its two images.
#[derive(Clone, Debug, Default)]
pub(crate) struct DirNode {
    pub(crate) written: Names,
    pub(crate) synced: Names,
    pub(crate) pending: Vec<(u64, NameOp)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Node {
    File(FileNode),
    Dir(DirNode),
}

/// A whole file system. A clone is cheap: contents are shared until they change.
#[derive(Clone, Debug)]
pub struct Image {
    pub(crate) nodes: BTreeMap<Inode, Arc<Node>>,
    next_inode: u64,
}

impl FileOp {
    pub(crate) fn apply(&self, content: &mut Content) {
        match self {
            Self::Write { position, bytes } => content.write(bytes, *position),
            Self::SetLen(len) => content.set_len(*len),
        }
    }

    /// True if it writes to any of the `len` bytes at `position`.
    pub(crate) fn touches(&self, position: u64, len: u64) -> bool {
        match self {
            Self::Write { position: from, bytes } => {
                *from < position + len && position < *from + bytes.len() as u64
            }
            Self::SetLen(_) => false,
        }
    }
}

impl FileNode {
    /// Turns over a bit that a reader sees, wherever that byte is kept. False if there is none.
    pub(crate) fn flip(&mut self, byte: u64, bit: u8) -> bool {
        let mut seen = [0];
        if !self.written.flip(byte, bit) || self.written.read(&mut seen, byte) == 0 {
            return false;
        }
        let before = seen[0] ^ (1 << (bit & 7));
        for (_, op) in &mut self.pending {
            let FileOp::Write { position, bytes } = op else { continue };
            let at = byte.checked_sub(*position).and_then(|at| usize::try_from(at).ok());
            if let Some(at) = at.filter(|at| bytes.get(*at) == Some(&before)) {
                let mut turned = bytes.to_vec();
                turned.splice(at..=at, seen);
                *bytes = turned.into();
            }
        }
        let mut synced = [0];
        if self.synced.read(&mut synced, byte) > 0 && synced[0] == before {
            self.synced.flip(byte, bit);
        }
        true
    }
}

impl NameOp {
    pub(crate) fn apply(&self, names: &mut Names) {
        match self {
            Self::Link { name, to } => {
                names.insert(Arc::clone(name), *to);
            }
            Self::Unlink { name } => {
                names.remove(name);
            }
            Self::Rename { from, name, to } => {
                names.remove(from);
                names.insert(Arc::clone(name), *to);
            }
        }
    }
}

impl Default for Image {
    fn default() -> Self {
        Self::empty()
    }
}

impl Image {
    /// A freshly made file system: an empty root directory.
    pub fn empty() -> Self {
        let root = Arc::new(Node::Dir(DirNode::default()));
        Self { nodes: BTreeMap::from([(ROOT, root)]), next_inode: 1 }
    }

    /// What a reader of the running system sees: every file's path, content hash and size.
    pub fn files(&self) -> Vec<(PathBuf, Content)> {
        let mut found = Vec::new();
        self.walk(ROOT, Path::new(""), true, &mut |path, node| {
            if let Node::File(file) = node {
                found.push((path.to_owned(), file.written.clone()));
            }
        });
        found
    }

    /// A hash of everything a power cut that keeps nothing unsynced would leave.
    pub fn durable_hash(&self) -> u64 {
        self.hash(false)
    }

    /// A hash of everything a reader sees, as after the death of a process.
    pub fn written_hash(&self) -> u64 {
        self.hash(true)
    }

    fn hash(&self, written: bool) -> u64 {
        let mut hash = 0;
        self.walk(ROOT, Path::new(""), written, &mut |path, node| {
            for byte in path.as_os_str().as_encoded_bytes() {
                hash = mix(hash ^ u64::from(*byte));
            }
            hash = mix(match node {
                Node::File(file) if written => hash ^ file.written.hash(),
                Node::File(file) => hash ^ file.synced.hash(),
                Node::Dir(_) => !hash,
            });
        });
        hash
    }

    fn walk(&self, at: Inode, path: &Path, written: bool, see: &mut dyn FnMut(&Path, &Node)) {
        let Some(node) = self.nodes.get(&at) else { return };
        see(path, node);
        if let Node::Dir(dir) = &**node {
            for (name, to) in if written { &dir.written } else { &dir.synced } {
                self.walk(*to, &path.join(&**name), written, see);
            }
        }
    }

    /// Finds what a path names for a reader of the running system.
    pub(crate) fn lookup(&self, path: &Path) -> Option<Inode> {
        let mut at = ROOT;
        for part in path.components() {
            match part {
                Component::CurDir => {}
                Component::Normal(name) => at = *self.dir(at)?.written.get(name.to_str()?)?,
                Component::Prefix(_) | Component::RootDir | Component::ParentDir => return None,
            }
        }
        Some(at)
    }

    pub(crate) fn node(&self, inode: Inode) -> Option<&Node> {
        self.nodes.get(&inode).map(|node| &**node)
    }

    pub(crate) fn file(&self, inode: Inode) -> Option<&FileNode> {
        match self.node(inode)? {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        }
    }

    pub(crate) fn dir(&self, inode: Inode) -> Option<&DirNode> {
        match self.node(inode)? {
            Node::Dir(dir) => Some(dir),
            Node::File(_) => None,
        }
    }

    pub(crate) fn file_mut(&mut self, inode: Inode) -> Option<&mut FileNode> {
        match self.nodes.get_mut(&inode).map(Arc::make_mut)? {
            Node::File(file) => Some(file),
            Node::Dir(_) => None,
        }
    }

    pub(crate) fn dir_mut(&mut self, inode: Inode) -> Option<&mut DirNode> {
        match self.nodes.get_mut(&inode).map(Arc::make_mut)? {
            Node::Dir(dir) => Some(dir),
            Node::File(_) => None,
        }
    }

    pub(crate) fn add(&mut self, node: Node) -> Inode {
        let inode = Inode(self.next_inode);
        self.next_inode += 1;
        self.nodes.insert(inode, Arc::new(node));
        inode
    }

    /// The entries a reader sees in a directory, sorted by name.
    pub(crate) fn entries(&self, dir: &DirNode) -> Vec<Entry> {
        let kind = |inode| match self.node(inode) {
            Some(Node::Dir(_)) => EntryKind::Directory,
            Some(Node::File(_)) | None => EntryKind::File,
        };
        dir.written.iter().map(|(name, to)| Entry { name: (**name).to_owned(), kind: kind(*to) }).collect()
    }

    /// Bytes that the visible files take.
    pub(crate) fn used(&self) -> u64 {
        let mut used = 0;
        self.walk(ROOT, Path::new(""), true, &mut |_, node| {
            if let Node::File(file) = node {
                used += file.written.len();
            }
        });
        used
    }

    /// Forgets what no visible name reaches any more; only where no handle can be open.
    pub(crate) fn collect(&mut self) {
        let mut reached = Vec::new();
        let mut todo = vec![ROOT];
        while let Some(inode) = todo.pop() {
            reached.push(inode);
            if let Some(dir) = self.dir(inode) {
                todo.extend(dir.written.values().chain(dir.synced.values()));
                for (_, op) in &dir.pending {
                    if let NameOp::Link { to, .. } | NameOp::Rename { to, .. } = op {
                        todo.push(*to);
                    }
                }
            }
        }
        reached.sort_unstable();
        self.nodes.retain(|inode, _| reached.binary_search(inode).is_ok());
    }
}
