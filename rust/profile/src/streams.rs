//! Tables of an observation: streams while recording, Parquet once the profile is sealed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::checksum::Checksum;
use super::folder::Folder;
use super::manifest::TableFile;
use super::observation::{
    Observation, observation_tables, open_name, present, schema_of, sealed_name,
};
use super::tail::{StreamFile, Tail};
use super::writer::parquet_failed;
use crate::{Error, Result};

/// Rows that are encoded before they are written.
const ROW_GROUP: usize = 1 << 16;

/// The tables of an observation that have rows, as they grow.
#[derive(Default)]
pub(super) struct Streams(BTreeMap<&'static str, StreamFile>);

impl Streams {
    /// Appends rows.
    pub(super) fn write(&mut self, folder: &Folder, rows: &Observation) -> Result<()> {
        for (table, batch) in &rows.batches {
            let file = match self.0.entry(table) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let name = open_name(table);
                    place.insert(StreamFile::create(folder, name, &batch.schema())?)
                }
            };
            file.write(folder, batch)?;
        }
        Ok(())
    }

    /// Size of the streams, bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.values().map(|file| file.length).sum()
    }

    /// Seals each table that has rows. Returns the descriptions of their files.
    pub(super) fn seal(&self, folder: &Folder) -> Result<Vec<TableFile>> {
        let each = self.0.iter();
        each.map(|(table, file)| seal(folder, table, &file.to_tail(folder, 0)?))
            .collect()
    }
}

/// Seals the tables of an unsealed profile. A table in both forms was sealed.
pub(super) fn seal_found(folder: &Folder) -> Result<()> {
    for (table, _) in observation_tables() {
        let name = open_name(table);
        if folder.facts(&sealed_name(table))?.is_some() {
            folder.remove(&name)?;
        } else if let Some(tail) = open(folder, &name)? {
            seal(folder, table, &tail)?;
        }
    }
    Ok(())
}

/// Seals a table of an unsealed profile in memory; `None` if it has no stream.
pub(super) fn seal_in_memory(
    folder: &Folder,
    table: &str,
    schema: &SchemaRef,
) -> Result<Option<Bytes>> {
    let name = open_name(table);
    let Some(tail) = open(folder, &name)? else {
        return Ok(None);
    };
    let mut content = Vec::new();
    encode(folder, &name, &mut content, schema, &tail)?;
    Ok(Some(content.into()))
}

fn open(folder: &Folder, name: &str) -> Result<Option<Tail>> {
    let Some(file) = folder.open_file(name)? else {
        return Ok(None);
    };
    Tail::open_named(folder, name, 0, file).map(Some)
}

/// Writes the rows of a stream as a table of a sealed profile, and removes the stream.
fn seal(folder: &Folder, table: &str, tail: &Tail) -> Result<TableFile> {
    let name = sealed_name(table);
    let draft = format!("{name}.tmp");
    let failed = |source| folder.failed(&draft, source);
    let schema = schema_of(table)?;
    let file = folder.create_file(&draft)?;
    encode(folder, &draft, &file, &schema, tail)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let crc32 = Checksum::of_file(&file, bytes).map_err(failed)?;
    folder.publish(&file, &draft, &name)?;
    folder.remove(&open_name(table))?;
    Ok(TableFile { name, bytes, crc32 })
}

fn encode(
    folder: &Folder,
    name: &str,
    output: impl Write + Send,
    schema: &SchemaRef,
    tail: &Tail,
) -> Result<()> {
    let failed = |source| parquet_failed(folder, name, source);
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP));
    let mut writer = ArrowWriter::try_new(output, Arc::clone(schema), Some(properties.build()))
        .map_err(failed)?;
    for batch in rows(folder, name, schema, tail)? {
        writer.write(&batch?).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

/// Reads the rows of a stream; none if not even its schema is complete.
fn rows<'a>(
    folder: &Folder,
    name: &str,
    schema: &'a SchemaRef,
    tail: &'a Tail,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<'a>> {
    let path = folder.path().join(name);
    let failed = move |source: ArrowError| Error::Arrow {
        path: path.clone(),
        source,
    };
    let batches = tail.rows(None).map_err(&failed)?;
    let fitted = batches.map(move |batch| present(&batch?, schema));
    Ok(fitted.map(move |batch| batch.map_err(&failed)))
}
