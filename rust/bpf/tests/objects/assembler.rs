//! A small program in any section → the bytes of its object.

use object::{
    Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope,
    write::{
        Object, Relocation, RelocationFlags, SectionId, StandardSection, Symbol, SymbolId,
        SymbolSection,
    },
};

/// The program's name.
pub(crate) const PROGRAM: &str = "count";

const R_BPF_64_64: u32 = 1;
const ARRAY: u32 = 2;
const RINGBUF: u32 = 27;
const MMAPABLE: u32 = 1 << 10;

const MAP_LOOKUP: i32 = 1;
const KTIME_GET_NS: i32 = 5;
const RINGBUF_OUTPUT: i32 = 130;

struct Writer {
    object: Object<'static>,
    text: SectionId,
    code: Vec<u8>,
}

impl Writer {
    fn instruction(&mut self, opcode: u8, registers: u8, offset: i16, immediate: i32) {
        self.code.extend([opcode, registers]);
        self.code.extend(offset.to_le_bytes());
        self.code.extend(immediate.to_le_bytes());
    }

    /// Loads the address of a global or map into a register.
    fn address(&mut self, register: u8, symbol: SymbolId) {
        let relocation = Relocation {
            offset: self.code.len() as u64,
            symbol,
            addend: 0,
            flags: RelocationFlags::Elf {
                r_type: R_BPF_64_64,
            },
        };
        self.object.add_relocation(self.text, relocation).unwrap();
        self.instruction(0x18, register, 0, 0);
        self.instruction(0, 0, 0, 0);
    }

    fn set(&mut self, register: u8, value: i32) {
        self.instruction(0xb7, register, 0, value);
    }

    /// Sets a register to an address on the stack.
    fn stack(&mut self, register: u8, offset: i32) {
        self.instruction(0xbf, register | 10 << 4, 0, 0);
        self.instruction(0x07, register, 0, offset);
    }

    fn call(&mut self, helper: i32) {
        self.instruction(0x85, 0, 0, helper);
    }

    fn data(&mut self, section: SectionId, name: &str, offset: u64, size: u64) -> SymbolId {
        self.object.add_symbol(Symbol {
            name: name.into(),
            value: offset,
            size,
            kind: SymbolKind::Data,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    }

    fn map(&mut self, section: SectionId, name: &str, definition: [u32; 5]) -> SymbolId {
        let definition = definition.into_iter().chain([0, 0]);
        let bytes: Vec<u8> = definition.flat_map(u32::to_le_bytes).collect();
        let offset = self.object.append_section_data(section, &bytes, 8);
        self.data(section, name, offset, bytes.len() as u64)
    }
}

/// Assembles a program that adds the global `STEP` to the global `HITS`, writes the time to the ring `events`, counts
/// itself in the array `counters`, and returns `result`.
pub(crate) fn object(section: &str, result: i32) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let text = object.add_section(Vec::new(), section.into(), SectionKind::Text);
    let mut writer = Writer {
        object,
        text,
        code: Vec::new(),
    };
    let bss = writer.object.section_id(StandardSection::UninitializedData);
    let offset = writer.object.append_section_bss(bss, 8, 8);
    let hits = writer.data(bss, "HITS", offset, 8);
    let constants = writer.object.section_id(StandardSection::ReadOnlyData);
    let offset = writer
        .object
        .append_section_data(constants, &1_u64.to_le_bytes(), 8);
    let step = writer.data(constants, "STEP", offset, 8);
    let maps = writer
        .object
        .add_section(Vec::new(), b"maps".into(), SectionKind::Data);
    let events = writer.map(maps, "events", [RINGBUF, 0, 0, 1 << 12, 0]);
    let counters = writer.map(maps, "counters", [ARRAY, 4, 64, 1, MMAPABLE]);
    writer.map(maps, "percpu", [6, 4, 4, 2, 0]);
    writer.map(maps, "names", [1, 4, 8, 16, 0]);
    let license = writer
        .object
        .add_section(Vec::new(), b"license".into(), SectionKind::Data);
    writer
        .object
        .append_section_data(license, b"Dual MIT/GPL\0", 1);

    writer.address(1, hits);
    writer.address(2, step);
    writer.instruction(0x79, 2 | 2 << 4, 0, 0); // r2 = *r2
    writer.instruction(0xdb, 1 | 2 << 4, 0, 0); // *r1 += r2, atomically
    writer.call(KTIME_GET_NS);
    writer.instruction(0x7b, 10, -8, 0); // the stack's first word = r0
    writer.address(1, events);
    writer.stack(2, -8);
    writer.set(3, 8);
    writer.set(4, 0);
    writer.call(RINGBUF_OUTPUT);
    writer.instruction(0x62, 10, -16, 0); // the stack's third half word = 0
    writer.address(1, counters);
    writer.stack(2, -16);
    writer.call(MAP_LOOKUP);
    writer.instruction(0x15, 0, 2, 0); // skips two instructions if r0 == 0
    writer.set(1, 1);
    writer.instruction(0xdb, 1 << 4, 0, 0); // *r0 += r1, atomically
    writer.set(0, result);
    writer.instruction(0x95, 0, 0, 0);
    finish(writer)
}

/// Assembles a program that returns without a result, which every verifier rejects.
pub(crate) fn rejected(section: &str) -> Vec<u8> {
    let mut object = Object::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little);
    let text = object.add_section(Vec::new(), section.into(), SectionKind::Text);
    let mut writer = Writer {
        object,
        text,
        code: Vec::new(),
    };
    let license = writer
        .object
        .add_section(Vec::new(), b"license".into(), SectionKind::Data);
    writer
        .object
        .append_section_data(license, b"Dual MIT/GPL\0", 1);
    writer.instruction(0x95, 0, 0, 0);
    finish(writer)
}

fn finish(writer: Writer) -> Vec<u8> {
    let Writer {
        mut object,
        text,
        code,
    } = writer;
    let size = code.len() as u64;
    object.append_section_data(text, &code, 8);
    object.add_symbol(Symbol {
        name: PROGRAM.into(),
        value: 0,
        size,
        kind: SymbolKind::Text,
        scope: SymbolScope::Dynamic,
        weak: false,
        section: SymbolSection::Section(text),
        flags: SymbolFlags::None,
    });
    object.write().unwrap()
}
