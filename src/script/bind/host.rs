//! What belongs to one session and natives need: device, seed, data folders, settings, the run.

use super::objects::Objects;
use crate::base::random::{Generator, Key};
use crate::compute::collective::Ranks;
use crate::compute::device;
use crate::compute::precision::Chosen;
use crate::run::{Run, RunFolder};
use crate::script::access::{Access, Allowed};
use crate::script::language::loader::Loader;
use crate::script::settings::Overrides;
use crate::show::Screen;
use candle_core::{DType, Device};
use rhai::{Dynamic, NativeCallContext, Scope};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::{Rc, Weak};

/// How a session was started.
pub struct HostConfig {
    pub device: Device,
    pub seed: u64,
    pub threads: usize,
    pub data_dir: Option<PathBuf>,
    pub overrides: Rc<RefCell<Overrides>>,
    /// The script that is run; `None` at the prompt.
    pub script_path: Option<PathBuf>,
    pub loader: Rc<Loader>,
    /// What a script may touch beside the usual.
    pub allowed: Allowed,
    /// This process among those of the run.
    pub ranks: Ranks,
}

/// The session's state behind all natives.
pub struct Host {
    pub device: Device,
    /// Number type of new tensors, parameters and images, f32 unless a call asks otherwise.
    pub dtype: DType,
    pub seed: u64,
    pub threads: usize,
    pub data_dir: Option<PathBuf>,
    /// The folder of the script, against which its relative paths of manifests are read.
    pub script_folder: Option<PathBuf>,
    pub overrides: Rc<RefCell<Overrides>>,
    /// What the script's networks multiply in on a GPU while they train.
    pub precision: Chosen,
    /// Draws of the script itself: `randn`, initialisation, attacks.
    pub random: Generator,
    /// Passes over training data so far; each has an order of its own.
    pub passes: Cell<u64>,
    /// Stores of fresh power-iteration vectors made so far; each has numbers of its own.
    pub stores: Cell<u64>,
    /// Networks, optimisers and stores of vectors that were made so far.
    pub objects: RefCell<Objects>,
    /// Random bits of the operating system, for probabilistic bounds that a script asks for without any of its own.
    bits: OnceCell<Key>,
    pub run: Rc<Run>,
    /// The sources of the scripts, for what is said about them.
    pub loader: Rc<Loader>,
    /// What the script may read, write and fetch.
    pub access: Access,
    /// What text is drawn for.
    pub screen: Cell<Screen>,
    /// Notes that were given already.
    noted: RefCell<BTreeSet<&'static str>>,
}

impl Host {
    pub fn new(config: HostConfig) -> Rc<Self> {
        let name = config.script_path.as_ref().and_then(|p| p.file_stem()).map(|s| s.to_string_lossy().into_owned());
        let folder = RunFolder::new("runs", name.as_deref().unwrap_or("prompt"));
        let run = Rc::new(Run::new(folder, config.ranks));
        let (script, overrides) = (config.script_path.clone(), config.overrides.clone());
        let access = Access::new(config.allowed, script, config.loader.clone(), overrides, run.clone());
        let host = Rc::new(Self {
            access,
            loader: config.loader,
            precision: Chosen::changing(),
            random: Generator::new(config.seed),
            device: config.device,
            dtype: DType::F32,
            seed: config.seed,
            threads: config.threads,
            data_dir: config.data_dir,
            script_folder: config.script_path.as_ref().and_then(|p| p.parent()).map(PathBuf::from),
            overrides: config.overrides,
            passes: Cell::new(0),
            stores: Cell::new(1),
            objects: RefCell::default(),
            bits: OnceCell::new(),
            run,
            screen: Cell::new(Screen::PLAIN),
            noted: RefCell::default(),
        });
        let holder: Weak<Self> = Rc::downgrade(&host);
        host.run.set_holder(holder);
        host
    }

    /// What scripts find in scope, also inside functions.
    pub fn scope(self: &Rc<Self>) -> Scope<'static> {
        let mut scope = Scope::new();
        scope.push_constant("run", self.run.clone());
        scope.push_constant("device", device::name(&self.device));
        scope.push_constant("seed", self.seed as rhai::INT);
        scope
    }

    /// Where `print` goes: above the live progress line.
    pub fn printer(self: &Rc<Self>) -> Rc<dyn Fn(&str)> {
        let run = self.run.clone();
        Rc::new(move |text| run.print(text))
    }

    /// Ends the progress display; on every way out.
    pub fn finish(&self) {
        self.run.close();
    }

    /// A note to whoever runs the script, the first time that there is reason for it.
    pub fn note_once(&self, text: &'static str) {
        if self.noted.borrow_mut().insert(text) {
            self.run.note(text);
        }
    }

    /// Random bits of the operating system, drawn when they are first asked for.
    pub fn bits(&self) -> Result<Key, String> {
        if let Some(key) = self.bits.get() {
            return Ok(*key);
        }
        let (key, _) = self.run.entropy()?;
        Ok(*self.bits.get_or_init(|| key))
    }

    /// Where an interrupted run stood.
    pub fn interrupted_note(&self) -> Option<String> {
        self.run.interrupted_note()
    }
}

/// The host behind a native call.
pub fn host(context: &NativeCallContext) -> Rc<Host> {
    let tag: Option<&Dynamic> = context.tag();
    tag.and_then(|t| t.clone().try_cast::<Rc<Host>>()).expect("the engine was built by bind::register")
}
