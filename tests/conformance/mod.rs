//! What every engine does, as functions over an engine, its deliveries and a hook that moves time.
//!
//! A test binary brings a [`Harness`] and writes `conformance!(harness)`.

pub mod dedupe;
pub mod delivery;
pub mod fixture;
pub mod history;
pub mod lease;
pub mod model;
pub mod parked;
pub mod presence;
pub mod publish;
pub mod state;

pub use fixture::{Fixture, Harness};

// demand: 48
/// Makes a test of each function of the suite, run against the given harness.
macro_rules! conformance {
    ($harness:expr) => {
        conformance! { $harness;
            publish {
                a_success_is_in_the_log_where_the_answer_says,
                offsets_count_from_one_and_each_entry_carries_its_predecessors_tag,
                a_frame_carries_its_own_position,
                a_batch_is_contiguous_and_answered_with_its_last_position,
                batches_of_many_publishers_do_not_mix,
                a_refused_batch_stores_nothing,
                an_ephemeral_publish_moves_the_top_and_keeps_nothing,
                expect_stores_only_at_the_top,
                expect_of_another_tag_or_epoch_is_a_conflict,
                of_many_that_expect_one_top_one_is_stored,
                what_was_acknowledged_is_below_what_is_sent_after,
                a_batch_without_entries_stores_nothing,
                another_kind_of_retention_drops_what_was_kept,
            }
            dedupe {
                a_repeat_is_answered_with_the_first_position,
                a_repeat_is_not_delivered_again,
                another_body_under_an_id_is_refused,
                a_batch_has_one_id,
                ids_are_scoped_by_channel_and_publisher,
                an_id_is_known_for_five_minutes_whenever_it_came,
                an_id_is_new_again_long_after,
                of_many_repeats_at_once_one_is_stored,
                a_repeat_is_known_though_the_top_it_expected_has_moved,
                an_id_refused_by_expect_may_come_again,
                an_ephemeral_repeat_is_known_too,
            }
            history {
                a_reader_at_the_top_of_a_quiet_channel_is_no_gap,
                a_reader_exactly_at_the_bound_is_no_gap_and_one_more_is,
                what_is_too_old_is_trimmed,
                a_position_that_is_not_proven_is_a_gap_with_its_reason,
                the_start_of_another_epoch_is_a_gap,
                a_tag_proves_a_position_whatever_its_epoch,
                more_than_a_page_is_paged_not_cut_short,
                a_page_is_bounded_in_bytes_but_one_event_always_fits,
                from_the_oldest_there_is_no_gap,
                a_channel_without_a_log_proves_its_top_alone,
                reading_never_changes_the_epoch,
            }
            state {
                the_latest_event_of_each_key_comes_by_offset,
                the_key_longest_unchanged_goes_first,
                an_event_without_a_key_is_not_kept,
            }
            delivery {
                after_a_subscribe_everything_above_the_top_comes,
                deliveries_history_and_answers_agree,
                deliveries_come_in_the_order_of_offsets,
                interest_ends_and_is_not_counted,
            }
            presence {
                a_join_is_idempotent,
                a_resume_emits_nothing,
                changed_details_are_an_update,
                a_channel_has_no_more_members_than_an_entrance_admits,
                who_is_listed_again_is_told_to_nobody,
                a_seat_names_the_node_and_the_beginning,
                an_old_fence_changes_nothing,
                the_removal_alone_broadcasts_a_leave,
                each_change_raises_the_version_by_one,
                a_snapshot_and_the_changes_after_it_converge,
                members_come_by_id_and_a_large_channel_gives_its_count,
                a_user_is_online_if_any_session_is,
                a_user_who_left_was_last_seen_then,
                of_several_devices_the_one_that_was_seen_last_counts,
                members_who_are_asserted_again_make_presence_whole,
                what_a_node_asserts_can_be_read_and_withdrawn_by_it_alone,
            }
            lease {
                members_of_a_lapsed_node_leave_once,
                a_late_renewal_removes_nobody,
                a_swept_incarnation_is_never_used_again,
                a_renewal_says_whether_it_was_late,
                a_node_is_alive_where_it_says_until_its_lease_ends,
                a_message_reaches_the_node_it_is_for,
                a_lapsed_node_removes_nothing_newer,
                a_node_without_a_lease_has_none_to_lose,
            }
            parked {
                a_parked_session_is_taken_once,
                parking_is_compare_and_set,
                a_parked_session_lasts_its_time,
            }
            model {
                random_operations_agree_with_a_naive_model,
            }
        }
    };
    ($harness:expr; $($module:ident { $($name:ident),* $(,)? })*) => {
        $(mod $module {

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::conformance::$module::$name(&$harness).await;
                }
            )*
        })*
    };
}
pub(crate) use conformance;
