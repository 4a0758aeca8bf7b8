variable "project_id" {
  description = "Project that holds the pool and the accounts."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id: 6 to 30 lower-case letters, digits and hyphens."
  }
}

variable "repository" {
  description = "The repository whose workflows are let in, by the numbers that GitHub gave it and its owner: names can be taken over, numbers cannot."
  type = object({
    repository_id       = string
    repository_owner_id = string
  })
  nullable = false

  validation {
    condition     = can(regex("^[0-9]+$", var.repository.repository_id)) && can(regex("^[0-9]+$", var.repository.repository_owner_id))
    error_message = "repository.repository_id and repository.repository_owner_id must be GitHub's numbers, not names."
  }
}

variable "environments" {
  description = "The GitHub environments, with their rules for approval, in which a job may apply and may deploy."
  type = object({
    apply  = string
    deploy = string
  })
  nullable = false

  validation {
    condition     = alltrue([for environment in values(var.environments) : can(regex("^[a-z][a-z0-9-]*$", environment))]) && var.environments.apply != var.environments.deploy
    error_message = "environments must name two environments, in lower-case letters, digits and hyphens."
  }
}

variable "deploy_ref" {
  description = "From where a job may deploy: refs/heads/main, or refs/tags/v for every tag that begins with v."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["refs/heads/main", "refs/tags/v"], var.deploy_ref)
    error_message = "deploy_ref must be refs/heads/main or refs/tags/v."
  }
}
