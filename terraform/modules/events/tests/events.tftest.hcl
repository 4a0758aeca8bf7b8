mock_provider "google" {}

variables {
  project_id = "example-project"
  region     = "europe-west1"
  push = {
    service_url           = "https://image-processor-abc-ew.a.run.app"
    audience              = "https://image-processor.example-project.internal"
    service_account_email = "image-push@example-project.iam.gserviceaccount.com"
    ack_deadline_seconds  = 330
  }
  tasks = {
    service_url = "https://image-tasks-abc-ew.a.run.app"
    audience    = "https://image-tasks.example-project.internal"
  }
}

run "example_plans" {
  command = plan

  module {
    source = "./example"
  }
}

run "topics_have_the_services_names" {
  command = plan

  assert {
    condition     = { for key, topic in google_pubsub_topic.this : key => topic.name } == { uploads = "image-uploads", analyses = "image-analyses", renditions = "image-renditions", events = "image-events", tasks = "image-tasks", dead_letters = "image-dead-letters" }
    error_message = "The services publish to other topics."
  }
}

run "messages_stay_in_the_region" {
  command = plan

  assert {
    condition     = alltrue([for topic in google_pubsub_topic.this : tolist(topic.message_storage_policy[0].allowed_persistence_regions) == tolist(["europe-west1"])])
    error_message = "Messages may be kept elsewhere."
  }
}

run "messages_can_be_replayed_for_a_week" {
  command = plan

  assert {
    condition     = alltrue([for topic in google_pubsub_topic.this : topic.message_retention_duration == "604800s"])
    error_message = "A topic forgets its messages."
  }
}

run "each_push_goes_to_its_route" {
  command = plan

  assert {
    condition = { for key, each in google_pubsub_subscription.push : each.name => each.push_config[0].push_endpoint } == {
      image-uploads-push    = "https://image-processor-abc-ew.a.run.app/push/uploads"
      image-analyses-push   = "https://image-processor-abc-ew.a.run.app/push/analyses"
      image-renditions-push = "https://image-processor-abc-ew.a.run.app/push/renditions"
    }
    error_message = "Messages are pushed elsewhere."
  }
}

run "events_and_nudges_are_pushed_to_image_tasks" {
  command = plan

  assert {
    condition = { for each in google_pubsub_subscription.nudge : each.name => [each.topic, each.push_config[0].push_endpoint] } == {
      image-events-push = ["projects/example-project/topics/image-events", "https://image-tasks-abc-ew.a.run.app/push/events"]
      image-tasks-push  = ["projects/example-project/topics/image-tasks", "https://image-tasks-abc-ew.a.run.app/push/tasks"]
    }
    error_message = "They are pushed elsewhere."
  }
}

run "nudges_carry_the_token_of_the_account_that_pushes" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.nudge : each.push_config[0].oidc_token[0].audience == var.tasks.audience && each.push_config[0].oidc_token[0].service_account_email == var.push.service_account_email])
    error_message = "The token is for another audience, or another account's."
  }
}

run "nudges_lapse_instead_of_dying" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.nudge : each.ack_deadline_seconds == 60 && each.message_retention_duration == "3600s" && length(each.dead_letter_policy) == 0 && each.expiration_policy[0].ttl == ""])
    error_message = "A nudge is kept longer than an hour, or becomes a dead letter, or has less than a step's time."
  }
}

run "nudges_are_retried_ever_more_slowly" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.nudge : each.retry_policy[0].minimum_backoff == "10s" && each.retry_policy[0].maximum_backoff == "600s"])
    error_message = "Retries come at other times."
  }
}

run "without_image_tasks_nothing_is_pushed_to_it" {
  command = plan

  variables {
    tasks = null
  }

  assert {
    condition     = length(google_pubsub_subscription.nudge) == 0
    error_message = "Events are pushed to a service that is not there."
  }
}

run "nudges_by_plain_http_are_refused" {
  command = plan

  variables {
    tasks = { service_url = "http://tasks.run.app", audience = "https://image-tasks.internal" }
  }

  expect_failures = [var.tasks]
}

run "push_names_the_audience" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : each.push_config[0].oidc_token[0].audience == var.push.audience])
    error_message = "The token is for another audience."
  }
}

run "push_is_signed_by_its_account" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : each.push_config[0].oidc_token[0].service_account_email == var.push.service_account_email])
    error_message = "The token is another account's."
  }
}

run "ack_deadline_is_the_receivers" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : each.ack_deadline_seconds == 330])
    error_message = "The ack deadline is another."
  }
}

run "backoff_is_10_to_600_seconds" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : each.retry_policy[0].minimum_backoff == "10s" && each.retry_policy[0].maximum_backoff == "600s"])
    error_message = "Retries come at other times."
  }
}

run "work_has_a_dead_letter_topic" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : length(each.dead_letter_policy) == 1])
    error_message = "A poison message comes for ever."
  }
}

run "dead_letters_go_to_their_topic" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : each.dead_letter_policy[0].dead_letter_topic == "projects/example-project/topics/image-dead-letters"])
    error_message = "Dead letters go elsewhere."
  }
}

run "subscriptions_are_on_their_topics" {
  command = plan

  assert {
    condition     = { for key, each in google_pubsub_subscription.push : key => each.topic } == { uploads = "projects/example-project/topics/image-uploads", analyses = "projects/example-project/topics/image-analyses", renditions = "projects/example-project/topics/image-renditions" } && google_pubsub_subscription.dead_letters.topic == "projects/example-project/topics/image-dead-letters"
    error_message = "A subscription is on another topic."
  }
}

run "ten_deliveries_are_tried_and_renditions_outlast_a_backlog" {
  command = plan

  assert {
    condition     = { for key, each in google_pubsub_subscription.push : key => each.dead_letter_policy[0].max_delivery_attempts } == { uploads = 10, analyses = 10, renditions = 100 }
    error_message = "Other attempts than ten, and a hundred for renditions."
  }
}

run "work_never_expires" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.push : each.expiration_policy[0].ttl == ""])
    error_message = "A quiet month removes the subscription."
  }
}

run "dead_letters_never_expire" {
  command = plan

  assert {
    condition     = google_pubsub_subscription.dead_letters.expiration_policy[0].ttl == ""
    error_message = "A quiet month removes the subscription."
  }
}

run "dead_letters_are_pushed_to_image_tasks" {
  command = plan

  assert {
    condition = jsonencode([for each in google_pubsub_subscription.dead_letters_push : [
      each.name, each.topic, each.push_config[0].push_endpoint, each.push_config[0].oidc_token[0].audience,
      each.push_config[0].oidc_token[0].service_account_email, each.ack_deadline_seconds, each.message_retention_duration,
      each.retry_policy[0].minimum_backoff, each.retry_policy[0].maximum_backoff, each.expiration_policy[0].ttl,
      ]]) == jsonencode([[
      "image-dead-letters-push", "projects/example-project/topics/image-dead-letters",
      "https://image-tasks-abc-ew.a.run.app/push/dead-letters", "https://image-tasks.example-project.internal",
      "image-push@example-project.iam.gserviceaccount.com", 60, "2678400s", "10s", "600s", "",
    ]])
    error_message = "Dead letters become no rows."
  }
}

run "dead_letters_of_the_push_do_not_go_in_a_circle" {
  command = plan

  assert {
    condition     = alltrue([for each in google_pubsub_subscription.dead_letters_push : length(each.dead_letter_policy) == 0])
    error_message = "Dead letters go in a circle."
  }
}

run "without_image_tasks_dead_letters_are_only_kept" {
  command = plan

  variables {
    tasks = null
  }

  assert {
    condition     = length(google_pubsub_subscription.dead_letters_push) == 0 && !contains(keys(output.subscription_names), "dead_letters_push")
    error_message = "Dead letters are pushed to nobody."
  }
}

run "dead_letters_are_pulled" {
  command = plan

  assert {
    condition     = length(google_pubsub_subscription.dead_letters.push_config) == 0
    error_message = "Dead letters are pushed."
  }
}

run "dead_letters_are_kept_for_a_month" {
  command = plan

  assert {
    condition     = google_pubsub_subscription.dead_letters.message_retention_duration == "2678400s"
    error_message = "Dead letters are gone before somebody looked."
  }
}

run "dead_letters_have_no_dead_letters" {
  command = plan

  assert {
    condition     = length(google_pubsub_subscription.dead_letters.dead_letter_policy) == 0
    error_message = "Dead letters go in a circle."
  }
}

run "topics_take_the_key" {
  command = plan

  variables {
    kms_key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition     = alltrue([for topic in google_pubsub_topic.this : topic.kms_key_name == var.kms_key])
    error_message = "The key is not used."
  }
}

run "plain_http_is_refused" {
  command = plan

  variables {
    push = { service_url = "http://p.run.app", audience = "https://p.internal", service_account_email = "p@x.iam.gserviceaccount.com", ack_deadline_seconds = 330 }
  }

  expect_failures = [var.push]
}

run "service_with_a_route_is_refused" {
  command = plan

  variables {
    push = { service_url = "https://p.run.app/push", audience = "https://p.internal", service_account_email = "p@x.iam.gserviceaccount.com", ack_deadline_seconds = 330 }
  }

  expect_failures = [var.push]
}

run "audience_that_is_no_url_is_refused" {
  command = plan

  variables {
    push = { service_url = "https://p.run.app", audience = "image-processor", service_account_email = "p@x.iam.gserviceaccount.com", ack_deadline_seconds = 330 }
  }

  expect_failures = [var.push]
}

run "audience_with_a_path_is_refused" {
  command = plan

  variables {
    push = { service_url = "https://p.run.app", audience = "https://p.internal/push", service_account_email = "p@x.iam.gserviceaccount.com", ack_deadline_seconds = 330 }
  }

  expect_failures = [var.push]
}

run "person_as_push_account_is_refused" {
  command = plan

  variables {
    push = { service_url = "https://p.run.app", audience = "https://p.internal", service_account_email = "somebody@example.com", ack_deadline_seconds = 330 }
  }

  expect_failures = [var.push]
}

run "deadline_over_ten_minutes_is_refused" {
  command = plan

  variables {
    push = { service_url = "https://p.run.app", audience = "https://p.internal", service_account_email = "p@x.iam.gserviceaccount.com", ack_deadline_seconds = 601 }
  }

  expect_failures = [var.push]
}

run "zone_is_refused" {
  command = plan

  variables {
    region = "europe-west1-b"
  }

  expect_failures = [var.region]
}

run "malformed_project_is_refused" {
  command = plan

  variables {
    project_id = "Example"
  }

  expect_failures = [var.project_id]
}

run "too_few_deliveries_are_refused" {
  command = plan

  variables {
    push = { service_url = "https://p.run.app", audience = "https://p.internal", service_account_email = "p@x.iam.gserviceaccount.com", ack_deadline_seconds = 330, max_delivery_attempts = 4 }
  }

  expect_failures = [var.push]
}
