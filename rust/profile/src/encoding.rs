//! The encoding of each column of a sealed part: the smallest one measured (`cargo bench --bench profile`).

use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

/// Rows of a row group. Large, so that a recurring key is in the group's dictionary only once.
pub(super) const ROW_GROUP: usize = 1 << 20;
/// Size limit of the key dictionary, bytes: a row group may consist of distinct keys.
const KEY_DICTIONARY: usize = ROW_GROUP * size_of::<u64>();
/// Rows of a data page.
const PAGE: usize = 1 << 17;

/// Returns the Parquet properties of a sealed part.
pub(super) fn properties() -> WriterProperties {
    let builder = WriterProperties::builder()
        .set_created_by(concat!("membench ", env!("CARGO_PKG_VERSION")).into())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_data_page_row_count_limit(PAGE)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_column_dictionary_page_size_limit(ColumnPath::from("key"), KEY_DICTIONARY);
    let named = ["command", "protocol", "options", "outcome"];
    let builder = named.into_iter().fold(builder, without_statistics);
    let packed = ["time", "batch", "request"];
    packed.into_iter().fold(builder, delta).build()
}

/// Turns off a column's statistics. The alphabetical bounds of a few names are useless, and finding them compares every
/// row.
fn without_statistics(builder: WriterPropertiesBuilder, column: &str) -> WriterPropertiesBuilder {
    builder.set_column_statistics_enabled(ColumnPath::from(column), EnabledStatistics::None)
}

fn delta(builder: WriterPropertiesBuilder, column: &str) -> WriterPropertiesBuilder {
    builder
        .set_column_dictionary_enabled(ColumnPath::from(column), false)
        .set_column_encoding(ColumnPath::from(column), Encoding::DELTA_BINARY_PACKED)
}
