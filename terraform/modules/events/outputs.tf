output "topic_names" {
  description = "Names of the topics: `uploads`, `analyses`, `renditions`, `events`, `tasks` and `dead_letters`."
  value       = { for key, topic in google_pubsub_topic.this : key => topic.name }
}

output "topic_ids" {
  description = "Full names of the topics, in the format of bucket notifications."
  value       = local.topic_ids
}

output "subscription_names" {
  description = "Names of the subscriptions: `uploads`, `analyses`, `renditions` and `dead_letters`; with image-tasks also `events`, `tasks` and `dead_letters_push`."
  value = merge(
    { for key, subscription in google_pubsub_subscription.push : key => subscription.name },
    { for key, subscription in google_pubsub_subscription.nudge : key => subscription.name },
    { dead_letters = google_pubsub_subscription.dead_letters.name },
    { for subscription in google_pubsub_subscription.dead_letters_push : "dead_letters_push" => subscription.name },
  )
}

output "ack_deadline_seconds" {
  description = "Time limit of the receiver for one message, in seconds."
  value       = var.push.ack_deadline_seconds
}

output "push" {
  description = "Push endpoint of each topic, and the audience of the token."
  value = {
    for key, subscription in google_pubsub_subscription.push : key => {
      endpoint = subscription.push_config[0].push_endpoint
      audience = subscription.push_config[0].oidc_token[0].audience
    }
  }
}

output "max_delivery_attempts" {
  description = "Number of delivery attempts after which a message of each topic becomes a dead letter."
  value       = local.max_delivery_attempts
}
