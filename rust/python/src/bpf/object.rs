//! Bindings of objects: read, set, loaded, attached, closed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use membench_bpf::{Filters, Kind, Link, Loaded, Object};
use pyo3::prelude::*;

use super::{
    Closable,
    error::{Error, Result},
    hook::{Place, Target},
    link::BpfLink,
    listing::ProgramTuple,
    map::BpfMap,
};

const WHAT: &str = "object";

enum State {
    Read(Box<Object>),
    Loaded(Box<Loaded>),
}

impl State {
    fn read(&mut self) -> Result<&mut Object> {
        match self {
            Self::Read(object) => Ok(object),
            Self::Loaded(_) => Err(Error::State {
                wanted: "the object is loaded: set globals and sizes before `load()`",
            }),
        }
    }

    fn loaded(&mut self) -> Result<&mut Loaded> {
        match self {
            Self::Loaded(object) => Ok(object),
            Self::Read(_) => Err(Error::State {
                wanted: "the object is not loaded: call `load()` first",
            }),
        }
    }
}

#[pyclass(frozen, module = "membench._native")]
pub(super) struct BpfObject {
    name: String,
    state: Closable<State>,
}

impl BpfObject {
    fn new(object: Object) -> Self {
        Self {
            name: object.name().into(),
            state: Closable::new(State::Read(Box::new(object))),
        }
    }

    fn read<R: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Object) -> Result<R> + Send,
    ) -> PyResult<R> {
        let done = py.detach(|| self.state.with(WHAT, |state| act(state.read()?)));
        done.map_err(PyErr::from)
    }

    fn loaded<R: Send>(
        &self,
        py: Python<'_>,
        act: impl FnOnce(&mut Loaded) -> Result<R> + Send,
    ) -> PyResult<R> {
        let done = py.detach(|| self.state.with(WHAT, |state| act(state.loaded()?)));
        done.map_err(PyErr::from)
    }
}

type MapTuple = (String, &'static str, u32, u32, u32);

#[pymethods]
impl BpfObject {
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let object = py
            .detach(move || Object::open(&path))
            .map_err(Error::from)?;
        Ok(Self::new(object))
    }

    #[staticmethod]
    fn parse(py: Python<'_>, name: &str, data: Vec<u8>) -> PyResult<Self> {
        let object = py.detach(|| Object::parse(name, data));
        Ok(Self::new(object.map_err(Error::from)?))
    }

    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    #[getter]
    fn closed(&self) -> bool {
        self.state.is_closed()
    }

    /// Lists name, type and section of each program.
    fn programs(&self, py: Python<'_>) -> PyResult<Vec<(String, &'static str, String)>> {
        self.read(py, |object| {
            let sections = object.sections();
            let programs = object.programs().iter().map(|(name, kind)| {
                let section = sections.get(name).cloned().unwrap_or_default();
                (name.clone(), kind.name(), section)
            });
            Ok(programs.collect())
        })
    }

    fn maps(&self, py: Python<'_>) -> PyResult<Vec<MapTuple>> {
        self.read(py, |object| {
            let maps = object.maps().iter().map(|(name, map)| {
                let sizes = (map.key_size, map.value_size, map.max_entries);
                (name.clone(), map.kind, sizes.0, sizes.1, sizes.2)
            });
            Ok(maps.collect())
        })
    }

    fn globals(&self, py: Python<'_>) -> PyResult<Vec<(String, String, usize)>> {
        self.read(py, |object| {
            let globals = object.globals().iter();
            let globals =
                globals.map(|(name, global)| (name.clone(), global.section.clone(), global.size));
            Ok(globals.collect())
        })
    }

    fn types(&self, py: Python<'_>) -> PyResult<Option<Vec<u8>>> {
        self.read(py, |object| Ok(object.types()))
    }

    fn global_bytes(&self, py: Python<'_>, name: &str) -> PyResult<Vec<u8>> {
        let done = py.detach(|| {
            self.state.with(WHAT, |state| match state {
                State::Read(object) => Ok(object.global(name)?),
                State::Loaded(object) => Ok(object.global(name)?),
            })
        });
        done.map_err(PyErr::from)
    }

    fn set_global(&self, py: Python<'_>, name: &str, value: &[u8]) -> PyResult<()> {
        self.read(py, |object| {
            object.set_global(name, value)?;
            Ok(())
        })
    }

    fn set_max_entries(&self, py: Python<'_>, name: &str, entries: u32) -> PyResult<()> {
        self.read(py, |object| {
            object.set_max_entries(name, entries)?;
            Ok(())
        })
    }

    /// Makes the maps; programs are loaded one by one.
    fn load(&self, py: Python<'_>, only: Option<Vec<String>>) -> PyResult<()> {
        let done = py.detach(move || {
            self.state.with(WHAT, move |state| {
                let object = state.read()?;
                if let Some(only) = &only {
                    object.use_only(only.iter().map(String::as_str))?;
                }
                *state = State::Loaded(Box::new(object.load()?));
                Ok(())
            })
        });
        done.map_err(PyErr::from)
    }

    #[pyo3(signature = (name, target))]
    fn load_program(&self, py: Python<'_>, name: &str, target: Option<Target>) -> PyResult<()> {
        let place = target.map(Target::parse).transpose()?;
        self.loaded(py, |object| {
            let mut program = object.program(name)?;
            let kind = program.kind();
            if program.is_loaded() {
                return Ok(());
            }
            let hook = match &place {
                Some(Place::Hook(hook)) => Some(hook),
                Some(Place::Filter(..)) | None => None,
            };
            program
                .load(hook)
                .map_err(|error| Error::Loader(error, Some(kind)))
        })
    }

    fn attach(&self, py: Python<'_>, name: &str, target: Target) -> PyResult<BpfLink> {
        let place = target.parse()?;
        self.loaded(py, |object| {
            let kind = object.program(name)?.kind();
            let attached = attach(object, name, &place);
            let link = attached.map_err(|error| Error::Loader(error, Some(kind)))?;
            Ok(BpfLink::new(link))
        })
    }

    fn map(&self, py: Python<'_>, name: &str) -> PyResult<BpfMap> {
        self.loaded(py, |object| Ok(BpfMap::new(object.map(name)?)))
    }

    fn program_facts(&self, py: Python<'_>, name: &str) -> PyResult<Option<ProgramTuple>> {
        self.loaded(py, |object| {
            let program = object.program(name)?;
            if !program.is_loaded() {
                return Ok(None);
            }
            Ok(Some(program.facts()?.into()))
        })
    }

    fn pin_program(&self, py: Python<'_>, name: &str, path: PathBuf) -> PyResult<()> {
        self.loaded(py, move |object| Ok(object.program(name)?.pin(&path)?))
    }

    /// Gives the link of another program this one.
    fn replace(&self, py: Python<'_>, name: &str, link: &BpfLink) -> PyResult<()> {
        let link = Arc::clone(&link.link);
        self.loaded(py, |object| {
            let mut program = object.program(name)?;
            let kind = program.kind();
            let kept = |error| Error::Loader(error, Some(kind));
            if !program.is_loaded() {
                program.load(None).map_err(kept)?;
            }
            let descriptor = program.descriptor()?;
            link.with("link", |link| link.replace(descriptor).map_err(kept))
        })
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.state.close()));
    }
}

fn attach(object: &mut Loaded, name: &str, place: &Place) -> membench_bpf::Result<Link> {
    match place {
        Place::Hook(
            hook @ (membench_bpf::Hook::KernelFunctions(_)
            | membench_bpf::Hook::UserFunctions { .. }),
        ) => Ok(object.attach_all(name, hook)?.0),
        Place::Hook(hook) => object.program(name)?.attach(hook),
        Place::Filter(interface, direction) => {
            if object.program(name)?.kind() != Kind::Classifier {
                let hook = membench_bpf::Hook::Tcx {
                    interface: interface.clone(),
                    direction: *direction,
                };
                return object.program(name)?.attach(&hook);
            }
            Filters::attach(object, interface, &[(name, *direction)]).map(Link::from)
        }
    }
}

/// Removes a pin; programs and links end with it unless somebody holds them.
#[pyfunction]
pub(super) fn unpin(py: Python<'_>, path: PathBuf) -> PyResult<()> {
    py.detach(move || remove(&path))
        .map_err(|error| Error::from(error).into())
}

fn remove(path: &Path) -> membench_bpf::Result<()> {
    // Opened first, so that no other file is removed.
    membench_bpf::Pinned::open(path)?;
    std::fs::remove_file(path).map_err(|source| membench_bpf::Error::Pin {
        path: path.into(),
        source,
    })
}
