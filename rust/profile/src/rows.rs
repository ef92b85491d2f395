//! Batches of a table → its rows, one at a time.

use std::path::PathBuf;
use std::vec;

use arrow_array::RecordBatch;

use membench_event::Anchor;

use super::stored_table::{Table, TableBatches};
use crate::{Error, Result};

/// Parses the rows of a batch, or names the column that does not fit.
type Parse<R> = fn(&RecordBatch, Anchor) -> std::result::Result<Vec<R>, &'static str>;

/// Iterator over the rows of a table.
pub struct Rows<R> {
    path: PathBuf,
    anchor: Anchor,
    batches: TableBatches,
    parse: Parse<R>,
    /// The rest of the current batch.
    current: vec::IntoIter<R>,
}

impl<R> Rows<R> {
    pub(super) fn new(table: &Table, anchor: Anchor, parse: Parse<R>) -> Result<Self> {
        Ok(Self {
            path: table.path().into(),
            anchor,
            batches: table.batches()?,
            parse,
            current: Vec::new().into_iter(),
        })
    }
}

impl<R> Iterator for Rows<R> {
    type Item = Result<R>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(row) = self.current.next() {
                return Some(Ok(row));
            }
            let batch = self.batches.next()?.map_err(|source| Error::Arrow {
                path: self.path.clone(),
                source,
            });
            let rows = batch.and_then(|batch| {
                (self.parse)(&batch, self.anchor).map_err(|column| Error::Column {
                    path: self.path.clone(),
                    column,
                    found: "something that this schema version does not define".into(),
                })
            });
            match rows {
                Ok(rows) => self.current = rows.into_iter(),
                Err(error) => {
                    self.batches.end();
                    return Some(Err(error));
                }
            }
        }
    }
}
