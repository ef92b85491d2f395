//! Connections of a recording: those that ended in a stream, those that are open in a small table. Sealed, one table.

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use bytes::Bytes;
use membench_event::{Anchor, ConnectionRow};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::checksum::Checksum;
use super::folder::Folder;
use super::manifest::TableFile;
use super::ordinals::Ordinals;
use super::stored_table::{Table, TableBatches};
use super::tables::{self, CONNECTIONS};
use super::tail::Tail;
use super::writer::parquet_failed;
use crate::{Error, Result};

/// File name of the connections that have ended, until the profile is sealed.
pub(super) const ENDED: &str = "connections.arrows.part";
/// Rows that are encoded before they are written.
const ROW_GROUP: usize = 1 << 17;

/// Replaces the table of the connections that are open. The disk is not waited for: the next one follows soon.
pub(super) fn save_open(folder: &Folder, rows: &[ConnectionRow], anchor: Anchor) -> Result<()> {
    let mut content = Vec::new();
    let batch = batch(folder, rows, anchor)?;
    encode(folder, CONNECTIONS, &mut content, None, [Ok(batch)])?;
    folder.replace_lazily(CONNECTIONS, &content)
}

/// Converts connections to a batch of their table.
pub(super) fn batch(
    folder: &Folder,
    rows: &[ConnectionRow],
    anchor: Anchor,
) -> Result<RecordBatch> {
    let columns = tables::connection_columns(rows, anchor);
    RecordBatch::try_new(tables::connection_schema(), columns).map_err(|source| Error::Arrow {
        path: folder.path().join(CONNECTIONS),
        source,
    })
}

/// Writes the connections that `ended` holds, then the `open` ones, as the table of a sealed profile.
pub(super) fn seal(
    folder: &Folder,
    ended: Option<&Tail>,
    open: impl IntoIterator<Item = Result<RecordBatch>>,
) -> Result<TableFile> {
    let draft = format!("{CONNECTIONS}.tmp");
    let failed = |source| folder.failed(&draft, source);
    let file = folder.create_file(&draft)?;
    encode(folder, &draft, &file, ended, open)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let crc32 = Checksum::of_file(&file, bytes).map_err(failed)?;
    folder.publish(&file, &draft, CONNECTIONS)?;
    folder.remove(ENDED)?;
    Ok(TableFile {
        name: CONNECTIONS.into(),
        bytes,
        crc32,
    })
}

/// Seals the connections of an unsealed profile; `None` if none has ended, so that the open ones are in a table.
pub(super) fn seal_found(folder: &Arc<Folder>) -> Result<Option<TableFile>> {
    let open = open_table(folder)?;
    let Some(ended) = open_ended(folder)? else {
        return Ok(None);
    };
    let open = still_open(folder, open, &ended)?;
    seal(folder, Some(&ended), open).map(Some)
}

/// Seals the connections of an unsealed profile in memory, as [`seal_found`] does.
pub(super) fn seal_in_memory(folder: &Arc<Folder>) -> Result<Option<Bytes>> {
    // In this order: a connection that ends meanwhile is in both, and not in none.
    let open = open_table(folder)?;
    let Some(ended) = open_ended(folder)? else {
        return Ok(None);
    };
    let open = still_open(folder, open, &ended)?;
    let mut content = Vec::new();
    encode(folder, ENDED, &mut content, Some(&ended), open)?;
    Ok(Some(content.into()))
}

fn encode(
    folder: &Folder,
    name: &str,
    output: impl Write + Send,
    ended: Option<&Tail>,
    open: impl IntoIterator<Item = Result<RecordBatch>>,
) -> Result<()> {
    let failed = |source| parquet_failed(folder, name, source);
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(ROW_GROUP));
    let schema = tables::connection_schema();
    let mut writer =
        ArrowWriter::try_new(output, schema, Some(properties.build())).map_err(failed)?;
    if let Some(ended) = ended {
        for batch in rows(folder, ended)? {
            writer.write(&batch?).map_err(failed)?;
        }
    }
    for batch in open {
        writer.write(&batch?).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

fn open_ended(folder: &Folder) -> Result<Option<Tail>> {
    let Some(file) = folder.open_file(ENDED)? else {
        return Ok(None);
    };
    Tail::open_named(folder, ENDED, 0, file).map(Some)
}

/// Opens the table of open connections; `None` if there is none.
fn open_table(folder: &Arc<Folder>) -> Result<Option<TableBatches>> {
    let found = folder.facts(CONNECTIONS)?;
    // A power failure may leave it empty.
    if found.is_none_or(|found| found.bytes == 0) {
        return Ok(None);
    }
    let schema = tables::connection_schema();
    Table::find(folder, CONNECTIONS, schema, None)?
        .batches()
        .map(Some)
}

/// Leaves out the connections of the table of open ones that ended afterwards.
fn still_open(
    folder: &Folder,
    open: Option<TableBatches>,
    ended: &Tail,
) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
    let mut gone = Ordinals::default();
    if open.is_some() {
        for batch in rows(folder, ended)? {
            gone.extend(ordinals(&batch?));
        }
    }
    let path = folder.path().join(CONNECTIONS);
    Ok(open.into_iter().flatten().map(move |batch| {
        let rest = batch.and_then(|batch| {
            let is_open = ordinals(&batch).map(|ordinal| Some(!gone.contains(ordinal)));
            let is_open: BooleanArray = is_open.collect();
            filter_record_batch(&batch, &is_open)
        });
        rest.map_err(|source| Error::Arrow {
            path: path.clone(),
            source,
        })
    }))
}

/// Reads the connections that have ended; none if not even the schema is complete.
fn rows(folder: &Folder, ended: &Tail) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
    let path = folder.path().join(ENDED);
    let failed = move |source: ArrowError| Error::Arrow {
        path: path.clone(),
        source,
    };
    let batches = ended
        .rows(Some(&tables::connection_schema()))
        .map_err(&failed)?;
    Ok(batches.map(move |batch| batch.map_err(&failed)))
}

/// Ordinals of the connections of a batch of the table's schema.
fn ordinals(batch: &RecordBatch) -> impl Iterator<Item = u32> {
    let column = batch.column_by_name("connection");
    let column = column.and_then(|column| column.as_primitive_opt::<UInt32Type>());
    column
        .into_iter()
        .flat_map(|column| column.values().iter().copied())
}
